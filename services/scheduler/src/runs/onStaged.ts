import { compile, type Log, Staged, type UplinkMessage } from '@fleetgate/kit'
import type { RunStore } from './runStore.js'
import { parseStageId } from './sources.js'

const checkStaged = compile(Staged)

export interface OnStagedDeps {
  runs: RunStore
  log: Log
  /** Told which runs have moved. */
  onProgress: (runIds: string[]) => Promise<void>
}

/** up/staged: what a SERVER machine offers, or why it cannot. Applied once, and only from a machine that was asked. */
export function createOnStaged({ runs, log, onProgress }: OnStagedDeps) {
  return async function onStaged(message: UplinkMessage): Promise<void> {
    const { tenantId, clientId } = message
    const staged = parse(message, log)
    const stage = staged && parseStageId(staged.stageId)
    if (!staged || !stage) return
    const at = `sources.${stage.key}`
    const isAsked = { _id: stage.runId, tenantId, open: true as const, [`${at}.asked`]: clientId }
    const isWaiting = { [`${at}.state`]: { $in: ['WAITING', 'ASKED'] } }
    const error = staged.files ? undefined : (staged.error ?? 'the file was not offered')
    const { matchedCount } =
      error === undefined
        ? await runs.collection.updateOne(
            { ...isAsked, ...isWaiting },
            { $set: { [`${at}.files`]: staged.files, [`${at}.state`]: 'READY' } }
          )
        : await runs.collection.updateOne({ ...isAsked, ...isWaiting, [`${at}.errors.server`]: { $ne: clientId } }, {
            $push: { [`${at}.errors`]: { server: clientId, error: error.slice(0, 2048) } }
          } as never)
    if (matchedCount === 0) {
      log.debug({ clientId, runId: stage.runId }, 'offer not expected, dropped')
      return
    }
    log.info({ clientId, runId: stage.runId, files: staged.files?.length, error }, 'SERVER machine answered')
    await onProgress([stage.runId])
  }
}

function parse({ clientId, payload }: UplinkMessage, log: Log): Staged | undefined {
  try {
    return checkStaged(JSON.parse(Buffer.from(payload).toString('utf8')))
  } catch (error) {
    log.warn({ clientId, reason: (error as Error).message }, 'offer is not readable, dropped')
    return undefined
  }
}
