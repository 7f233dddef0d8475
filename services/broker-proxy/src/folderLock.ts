import { existsSync } from 'node:fs'
import { link, mkdir, open, rename, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Log } from '@fleetgate/contracts'

/** A folder that is this process's alone until released, or until the process dies. */
export interface FolderLock {
  release(): Promise<void>
}

const name = 'in-use.sock'
const attempts = 5
const answerMs = 2_000
/** What file systems say that have no sockets. */
const impossible = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS'])

/**
 * Two brokers that write one folder of sessions would each lose what the other acknowledged, so the second is refused. The lock is a
 * socket on which this process listens: the system closes it with the process, however that ends, and it is seen from other
 * containers that mount the folder, where process ids mean nothing. Rejects with the folder and the id of its owner.
 */
export async function lockFolder(folder: string, log: Log): Promise<FolderLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const handle = await open(folder, 'r')
  // Paths of sockets have 107 bytes at most.
  const near = existsSync(`/proc/self/fd/${handle.fd}`) ? `/proc/self/fd/${handle.fd}` : folder
  const server = createServer((socket) => socket.on('error', () => undefined).end(String(process.pid)))
  try {
    await take(server, near, folder)
  } catch (error) {
    await handle.close()
    if (!impossible.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    log.warn({ err: error, folder }, 'the folder cannot be locked: see that no other process uses it')
    return { release: async () => undefined }
  }
  server.unref()
  return {
    async release() {
      await new Promise((resolve) => server.close(resolve))
      await handle.close()
    }
  }
}

async function take(server: Server, near: string, folder: string): Promise<void> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    if (await isListening(server, join(near, name))) return
    const owner = await ownerAt(join(near, name))
    if (owner !== undefined) throw new Error(`${folder} is in use by another broker-proxy (process ${owner})`)
    await clear(near, folder)
  }
  throw new Error(`${folder} is being taken by another broker-proxy`)
}

/** Takes a dead owner's socket away. Of several that try one gets it, and looks again: another may have come in between. */
async function clear(near: string, folder: string): Promise<void> {
  const [own, aside] = [join(near, name), join(near, `${name}.${process.pid}.${Date.now()}`)]
  const isMoved = await rename(own, aside).then(
    () => true,
    () => false
  )
  if (!isMoved) return
  const owner = await ownerAt(aside)
  if (owner !== undefined) await link(aside, own).catch(() => undefined)
  await rm(aside, { force: true })
  if (owner !== undefined) throw new Error(`${folder} is in use by another broker-proxy (process ${owner})`)
}

function isListening(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error))
    server.once('error', failed)
    server.listen({ path }, () => {
      server.off('error', failed)
      resolve(true)
    })
  })
}

/** The process that listens there, `?` where it does not say which; nothing where none does. */
function ownerAt(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let said = ''
    const socket = connect({ path })
    socket.setTimeout(answerMs, () => socket.destroy())
    let isThere = false
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
