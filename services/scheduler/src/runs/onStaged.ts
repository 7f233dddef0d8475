import { compile, fileListLimit, type Log, type ManifestFile, Staged, type UplinkMessage } from '@fleetgate/kit'
import type { mongo } from 'mongoose'
import { bytesOf, type Run, tooManyFiles } from './run.js'
import type { RunStore } from './runStore.js'
import { parseStageId } from './sources.js'

const checkStaged = compile(Staged)

/** A run is one document, which the database bounds at 16 MiB: what else is written to it always has room. */
const maxRunBytes = 12 * 1024 * 1024

interface Answer {
  tenantId: string
  clientId: string
  runId: string
  key: string
}

export interface OnStagedDeps {
  runs: RunStore
  log: Log
  /** Told which runs have moved. */
  onProgress: (runIds: string[]) => Promise<void>
}

/** up/staged: what a SERVER machine offers, or why it cannot. Applied once, and only from a machine that was asked. */
export function createOnStaged({ runs, log, onProgress }: OnStagedDeps) {
  const update = async (filter: Record<string, unknown>, change: Record<string, unknown>): Promise<boolean> =>
    (await runs.collection.updateOne(filter as mongo.Filter<Run>, change)).matchedCount > 0

  /** A list that no command can carry, or for which the run has no room, is an error of its steps. */
  async function takeFiles(answer: Answer, files: readonly ManifestFile[]): Promise<boolean> {
    const at = `sources.${answer.key}`
    const list = files.map(({ path, sha256, size }) => ({ path, sha256, size }))
    const bytes = bytesOf(list)
    const hasRoom = { $expr: { $lt: [{ $add: [{ $bsonSize: '$$ROOT' }, bytes] }, maxRunBytes] } }
    const ready = { $set: { [`${at}.files`]: list, [`${at}.state`]: 'READY' } }
    if (bytes <= fileListLimit && (await update({ ...expected(answer), ...hasRoom }, ready))) return true
    const failed = { [`${at}.state`]: 'FAILED', [`${at}.error`]: tooManyFiles(list) }
    return update(expected(answer), { $set: failed })
  }

  function takeError(answer: Answer, error: string): Promise<boolean> {
    const at = `sources.${answer.key}.errors`
    const server = answer.clientId
    const isFirst = { [`${at}.server`]: { $ne: server } }
    return update({ ...expected(answer), ...isFirst }, { $push: { [at]: { server, error: error.slice(0, 2048) } } })
  }

  return async function onStaged(message: UplinkMessage): Promise<void> {
    const { tenantId, clientId } = message
    const staged = parse(message, log)
    const stage = staged && parseStageId(staged.stageId)
    if (!staged || !stage) return
    const error = staged.files ? undefined : (staged.error ?? 'the file was not offered')
    const isTaken = staged.files
      ? await takeFiles({ tenantId, clientId, ...stage }, staged.files)
      : await takeError({ tenantId, clientId, ...stage }, error ?? '')
    if (!isTaken) {
      log.debug({ clientId, runId: stage.runId }, 'offer not expected, dropped')
      return
    }
    log.info({ clientId, runId: stage.runId, files: staged.files?.length, error }, 'SERVER machine answered')
    await onProgress([stage.runId])
  }
}

/** Matches while the run waits for this answer of this machine. */
function expected({ tenantId, clientId, runId, key }: Answer): Record<string, unknown> {
  const at = `sources.${key}`
  const isWaiting = { [`${at}.state`]: { $in: ['WAITING', 'ASKED'] } }
  return { _id: runId, tenantId, open: true, [`${at}.asked`]: clientId, ...isWaiting }
}

function parse({ clientId, payload }: UplinkMessage, log: Log): Staged | undefined {
  try {
    return checkStaged(JSON.parse(Buffer.from(payload).toString('utf8')))
  } catch (error) {
    log.warn({ clientId, reason: (error as Error).message }, 'offer is not readable, dropped')
    return undefined
  }
}
