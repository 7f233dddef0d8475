import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Log } from '@fleetgate/contracts'

/** A folder that is this process's alone until released, or until the process dies. */
export interface FolderLock {
  release(): Promise<void>
}

const pattern = /^in-use-.*\.sock$/
const waitMs = 1_000
const againMs = 50
const answerMs = 2_000
/** What file systems say that have no sockets. */
const impossible = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS'])

/**
 * Two brokers that write one folder of sessions would each lose what the other acknowledged, so the second is refused. The lock is a
 * socket on which this process listens: the system closes it with the process, however that ends, and it is seen from other
 * containers that mount the folder, where process ids mean nothing. Everyone first puts up a socket and then looks for others: of
 * two at the same time at least one sees the other and steps back. Rejects with the folder and the id of its owner.
 */
export async function lockFolder(folder: string, log: Log): Promise<FolderLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const handle = await open(folder, 'r')
  // Paths of sockets have 107 bytes at most.
  const near = existsSync(`/proc/self/fd/${handle.fd}`) ? `/proc/self/fd/${handle.fd}` : folder
  try {
    const server = await take(near, folder)
    return {
      async release() {
        await closed(server)
        await handle.close()
      }
    }
  } catch (error) {
    await handle.close()
    if (!impossible.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    log.warn({ err: error, folder }, 'the folder cannot be locked: see that no other process uses it')
    return { release: async () => undefined }
  }
}

async function take(near: string, folder: string): Promise<Server> {
  const end = Date.now() + waitMs
  for (;;) {
    const name = `in-use-${randomUUID()}.sock`
    const server = await listening(join(near, name))
    const owner = await ownerBeside(near, name)
    if (owner === undefined) return server
    await closed(server)
    if (Date.now() > end) throw new Error(`${folder} is in use by another broker-proxy (process ${owner})`)
    // A random wait, so that two that stepped back do not meet again.
    await new Promise((resolve) => setTimeout(resolve, againMs * (1 + Math.random())))
  }
}

/** A living process that has the folder too; what dead ones left goes. */
async function ownerBeside(near: string, own: string): Promise<string | undefined> {
  for (const name of await readdir(near)) {
    if (name === own || !pattern.test(name)) continue
    const owner = await ownerAt(join(near, name))
    if (owner !== undefined) return owner
    await rm(join(near, name), { force: true })
  }
  return undefined
}

/** Does not keep the process alive. */
function listening(path: string): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => undefined).end(String(process.pid)))
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, () => {
      server.off('error', reject)
      resolve(server.unref())
    })
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

/** The process that listens there, `?` where it does not say which; nothing where none does. */
function ownerAt(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let isThere = false
    let said = ''
    const socket = connect({ path })
    socket.setTimeout(answerMs, () => socket.destroy())
    socket.on('connect', () => {
      isThere = true
    })
    socket.on('data', (bytes) => {
      said += bytes
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(isThere ? said || '?' : undefined))
  })
}
