import { type ManifestFile, type StageCommand, type Staged, transferOf, upTopic } from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'
import type { Log } from '../log.js'
import { PathError, type Paths } from '../paths.js'
import { publishUntilTaken } from '../publishUntilTaken.js'
import { findFiles } from '../tree.js'
import type { Contents } from './contents.js'

/** Offers files of a SERVER machine: hashes them, brings them into the store, says what they are. */
export interface Stages {
  stage(command: StageCommand): void
  stop(): void
}

export interface StagesOptions {
  connection: Connection
  clientId: string
  isServer: boolean
  paths: Paths
  contents: Contents
  log: Log
}

export function createStages({ connection, clientId, isServer, paths, contents, log }: StagesOptions): Stages {
  const offers = new Map<string, Promise<ManifestFile[]>>()
  const answering = new Set<string>()
  const stopped = new AbortController()
  const { signal } = stopped

  /** Stages of one path that meet, and are to move alike, share one hashing and one upload. */
  function offer(command: StageCommand): Promise<ManifestFile[]> {
    const key = JSON.stringify([command.path, command.ignoreHiddenFile, transferOf(command)])
    const running = offers.get(key)
    if (running) return running
    const started = offerAnew(command).finally(() => offers.delete(key))
    offers.set(key, started)
    return started
  }

  async function offerAnew(command: StageCommand): Promise<ManifestFile[]> {
    if (!isServer) throw new PathError('this machine is not a SERVER: it offers no files')
    const found = await findFiles(paths, command.path, command.ignoreHiddenFile)
    return contents.bringIn(found, { signal, transfer: transferOf(command) })
  }

  async function answer(command: StageCommand): Promise<void> {
    const { stageId, runId } = command
    const end = await offer(command).then(
      (files) => ({ files }),
      (error: Error) => ({ error: error.message })
    )
    log.info({ stageId, runId, ...('error' in end ? end : { files: end.files.length }) }, 'files staged')
    // The scheduler asks again if this machine dies before; while it lives the answer is sent until acknowledged.
    const staged: Staged = { stageId, runId, ...end }
    await publishUntilTaken(connection, upTopic(clientId, 'staged'), JSON.stringify(staged), signal)
  }

  return {
    stage: (command) => {
      if (answering.has(command.stageId)) return
      answering.add(command.stageId)
      void answer(command)
        .catch((error) => log.warn({ err: error, stageId: command.stageId }, 'stage not answered'))
        .finally(() => answering.delete(command.stageId))
    },
    stop: () => stopped.abort()
  }
}
