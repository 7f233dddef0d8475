// An agent in a process of its own, wired to its parent by IPC. DIE='before 3' kills it before its third fsync,
// 'after 3' after, 'block 3' before its third block of a file.
import { open } from 'node:fs/promises'
import { startAgent } from '../src/agent.js'
import { loadConfig } from '../src/config.js'
import type { Connection } from '../src/connection.js'
import { runProgram } from '../src/runs/runProgram.js'
import { clientId, quiet } from './bare.js'

export interface FromAgent {
  id: number
  topic: string
  payload: Uint8Array
}

export type ToAgent = { id: number } | { topic: string; payload: Uint8Array }

function createIpcConnection(): Connection {
  const waiting = new Map<number, () => void>()
  let onConnect: (() => void)[] = []
  let isUp = false
  let next = 0
  return {
    publish: (topic, payload) =>
      new Promise((resolve) => {
        const id = next++
        waiting.set(id, resolve)
        process.send?.({ id, topic, payload: Buffer.from(payload) } satisfies FromAgent)
      }),
    // Its parent lets everything through.
    subscribe: async () => undefined,
    unsubscribe: async () => undefined,
    isConnected: () => isUp,
    onConnect: (handle) => {
      onConnect = [...onConnect, handle]
    },
    onMessage: (handle) => {
      let line = Promise.resolve()
      process.on('message', (message: ToAgent) => {
        if ('id' in message) waiting.get(message.id)?.()
        else line = line.then(() => handle(message.topic, Buffer.from(message.payload)))
      })
    },
    start: () => {
      isUp = true
      for (const handle of onConnect) handle()
    },
    close: async () => undefined
  }
}

async function dieAtSync(when: string): Promise<void> {
  const [side, text] = when.split(' ')
  const handle = await open('/dev/null')
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  let count = 0
  for (const name of ['sync', 'datasync']) {
    const real = prototype[name]
    prototype[name] = async function (...args: unknown[]) {
      count += 1
      if (count === Number(text) && side === 'before') process.kill(process.pid, 'SIGKILL')
      await real.apply(this, args)
      if (count >= Number(text)) process.kill(process.pid, 'SIGKILL')
    }
  }
}

/** Before the n-th block is handled. */
function dieAtBlock(connection: Connection, when: string): Connection {
  let left = Number(when.split(' ')[1])
  const onMessage: Connection['onMessage'] = (handle) =>
    connection.onMessage((topic, payload) => {
      if (topic.includes('/down/block/') && --left === 0) process.kill(process.pid, 'SIGKILL')
      return handle(topic, payload)
    })
  return { ...connection, onMessage }
}

async function live(): Promise<void> {
  const config = loadConfig({ ...process.env, CLIENT_ID: clientId })
  const when = process.env.DIE ?? ''
  if (/^(before|after) /.test(when)) await dieAtSync(when)
  const plain = createIpcConnection()
  const connection = when.startsWith('block ') ? dieAtBlock(plain, when) : plain
  const agent = await startAgent({ config, connection, now: Date.now, log: quiet })
  process.on('SIGTERM', () => void agent.stop().then(() => process.exit(0)))
  process.on('disconnect', () => process.exit(0))
}

// As one file it is also what runs the programs, as the agent's own file is.
const [, , command, folder = ''] = process.argv
await (command === 'runner' ? runProgram(folder) : live())
if (command === 'runner') process.exit(0)
