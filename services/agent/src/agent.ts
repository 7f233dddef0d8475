import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { upTopic } from '@fleetgate/contracts/fleet'
import { createCommands } from './commands.js'
import type { AgentConfig } from './config.js'
import type { Connection } from './connection.js'
import { createExecutions } from './executions/executions.js'
import { helloOf } from './hello.js'
import { type Book, createBook } from './journal/book.js'
import { openJournal } from './journal/journal.js'
import { lockFolder } from './lock.js'
import type { Log } from './log.js'
import { refuseOverlap } from './overlap.js'
import { createPaths } from './paths.js'
import { createReports } from './reports.js'
import { createRunner, type Runner } from './runs/runner.js'
import { createContents } from './transfer/contents.js'
import { createDownloads } from './transfer/download.js'
import { createOffers } from './transfer/offers.js'
import { createReceives } from './transfer/receives.js'
import { createStages } from './transfer/stages.js'
import { createUploads } from './transfer/upload.js'

export interface Agent {
  /** Stops where it is; what is unfinished goes on at the next start. */
  stop(): Promise<void>
}

export interface AgentOptions {
  config: AgentConfig
  connection: Connection
  now: () => number
  /** Milliseconds by a clock that nobody sets. */
  elapsed?: () => number
  log: Log
}

/** Opens the state folder, goes on with what is unfinished, and connects. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { config, connection, now, elapsed = () => performance.now(), log } = options
  const { clientId, stateDir, concurrency } = config
  const folders = await openState(stateDir)
  const unlock = await lockFolder(stateDir)
  try {
    const paths = await createPaths(config.roots)
    await refuseOverlap(stateDir, paths)
    const { journal, records } = await openJournal({ file: join(stateDir, 'journal'), log })
    const book = createBook(journal, records)
    const runner = createRunner(folders.runs)
    await removeOldRuns({ folder: folders.runs, book, runner, log })
    const reports = createReports({ book, connection, clientId, now, log })
    const downloads = createDownloads({ connection, clientId, mapFolder: folders.transfers, log })
    const uploads = createUploads({ connection, clientId })
    const contents = createContents({ paths, uploads })
    const offers = createOffers({ connection, clientId })
    const parts = { config, paths, downloads, contents, offers, runner, log }
    const isServer = config.role === 'SERVER'
    const stages = createStages({ connection, clientId, isServer, paths, contents, log })
    const receives = createReceives({ connection, clientId, isServer, parts, log })
    const executions = createExecutions({ book, reports, parts, concurrency, now, elapsed, log })
    connection.onMessage(createCommands({ clientId, executions, stages, receives, offers, downloads, uploads, log }))
    connection.onConnect(() => greet(connection, config, log))
    executions.resume()
    connection.start()
    return {
      stop: async () => {
        stages.stop()
        receives.stop()
        await executions.stop()
        reports.stop()
        await connection.close()
        await journal.close()
        await unlock()
      }
    }
  } catch (error) {
    await unlock()
    throw error
  }
}

function greet(connection: Connection, config: AgentConfig, log: Log): void {
  helloOf(config)
    .then((hello) => connection.publish(upTopic(config.clientId, 'hello'), JSON.stringify(hello)))
    .catch((error) => log.debug({ err: error }, 'hello not acknowledged'))
}

async function openState(stateDir: string): Promise<{ runs: string; transfers: string }> {
  const folders = { runs: join(stateDir, 'runs'), transfers: join(stateDir, 'transfers') }
  await mkdir(folders.runs, { recursive: true, mode: 0o700 })
  await mkdir(folders.transfers, { recursive: true, mode: 0o700 })
  return folders
}

/** Folders of runs whose results are in the journal: left if the agent died between the two. */
async function removeOldRuns(runs: { folder: string; book: Book; runner: Runner; log: Log }): Promise<void> {
  const wanted = new Set<string>()
  for (const { finished, launches } of runs.book.attempts()) {
    if (!finished) for (const launch of launches) wanted.add(launch.folder)
  }
  for (const name of await readdir(runs.folder)) {
    if (wanted.has(name)) continue
    // What still uses it, a child of the program's perhaps, is no reason not to start.
    await runs.runner.remove(name).catch((err) => runs.log.warn({ err, name }, 'old run folder not removed'))
  }
}
