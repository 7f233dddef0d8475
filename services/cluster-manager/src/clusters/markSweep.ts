import type { Log } from '@fleetgate/kit'
import { createRounds, type Rounds } from '../rounds.js'
import type { Marked, Usage } from '../usage.js'
import type { ClusterStore } from './clusterStore.js'

export interface MarkSweepDeps {
  store: Pick<ClusterStore, 'findCarried'>
  keys: Usage
  registries: Usage
  providers: Usage
  /** How often; a mark of that age that no cluster knows is left over from a crash. */
  everyMs: number
  now: () => number
  log: Log
}

type Kept = 'pubkeys' | 'registries' | 'providers'

const atOnce = 100

/**
 * A process that ends between marking a key, a registry or a provider and writing the cluster leaves the mark: the document could never be
 * removed. Every replica looks; a mark is taken away by its own name, so that of several none harms a newer one.
 */
export function createMarkSweep({ store, keys, registries, providers, everyMs, now, log }: MarkSweepDeps): Rounds {
  async function sweep(usage: Usage, what: Kept): Promise<void> {
    const before = now() - everyMs
    let after = ''
    for (;;) {
      const found = await usage.marked(after, atOnce)
      for (const one of found) await clear(usage, what, one, before)
      const last = found.at(-1)
      if (!last || found.length < atOnce) return
      after = last.id
    }
  }

  async function clear(usage: Usage, what: Kept, { id, tenantId, marks }: Marked, before: number) {
    const old = marks.filter(({ at }) => at < before)
    if (old.length === 0) return
    const clusters = await store.findCarried(tenantId, [...new Set(old.map(({ clusterId }) => clusterId))])
    const carries = new Set(clusters.flatMap((cluster) => (cluster[what].includes(id) ? [cluster.id] : [])))
    const stale = old.filter(({ clusterId }) => !carries.has(clusterId)).map(({ mark }) => mark)
    if (stale.length === 0) return
    await usage.takeBack(tenantId, [id], stale)
    log.warn({ id, what, marks: stale.length }, 'marks of a crash cleared')
  }

  const look = () =>
    sweep(keys, 'pubkeys')
      .then(() => sweep(registries, 'registries'))
      .then(() => sweep(providers, 'providers'))
      .catch((error) => log.warn({ err: error }, 'marks not looked at, trying again'))
  return createRounds(look, everyMs)
}
