import { type Bus, findStoredFile, type Log, parseStorePath } from '@fleetgate/kit'
import type { HeldRun, Leases } from './leases.js'
import type { RunStore } from './runStore.js'
import type { RunSource } from './sources.js'

export interface StoredSourcesDeps {
  runs: Pick<RunStore, 'collection'>
  leases: Pick<Leases, 'fence'>
  bus: Pick<Bus, 'request'>
  log: Log
}

/**
 * Looks up what a run takes from the central store: no SERVER machine is asked. The content found is the run's from then on, whatever
 * is stored under the name later. While the store does not answer the run waits.
 */
export function createFindStored({ runs, leases, bus, log }: StoredSourcesDeps) {
  async function lookUp(tenantId: string, path: string): Promise<Partial<RunSource>> {
    const wanted = parseStorePath(path)
    const { file } = wanted ? await bus.request(findStoredFile, { tenantId, wanted }) : {}
    if (!file) return { state: 'FAILED', error: `the central store has no file ${path}` }
    const { sha256, size, fileName } = file
    return { state: 'READY', files: [{ path: '', sha256, size }], name: fileName }
  }

  return async function findStored(held: HeldRun, key: string, { path }: RunSource): Promise<void> {
    const fields = { runId: held._id, path }
    try {
      const found = await lookUp(held.tenantId, path)
      const at = `sources.${key}`
      const set = Object.fromEntries(Object.entries(found).map(([name, value]) => [`${at}.${name}`, value]))
      await runs.collection.updateOne({ ...leases.fence(held), [`${at}.state`]: 'WAITING' }, { $set: set })
      log.info(
        { ...fields, sha256: found.files?.[0]?.sha256, error: found.error },
        'file of the central store looked up'
      )
    } catch (error) {
      log.warn({ ...fields, err: error }, 'file of the central store not looked up, trying again')
    }
  }
}
