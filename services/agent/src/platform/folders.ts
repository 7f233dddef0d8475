import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { join } from 'node:path'

export const hasExactFolders = process.platform === 'linux'

// Windows has none of these: they are undefined there, and count as nothing.
export const asFolder = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
/** O_NONBLOCK: opening a FIFO must not hang. */
export const asFile = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** A folder that stays the one that was opened, as far as the system can tell. */
export interface OpenFolder {
  /** A name in it as the system takes it: what openat() would do. */
  at(name: string): string
  /** Makes a rename in it durable. */
  sync(): Promise<void>
  close(): Promise<void>
}

/**
 * On Linux a name is relative to the opened folder, whatever happens to its path meanwhile. Elsewhere there is no such
 * name: the path must be its own true path before the folder is opened and after, so a link that is in the way is seen, and
 * one that is put there later is not.
 */
export async function openFolder(at: string, path: string, isExact = hasExactFolders): Promise<OpenFolder> {
  if (!isExact) await refuseOther(path)
  const handle = await open(at, asFolder)
  try {
    if (!isExact) await refuseOther(path)
  } catch (error) {
    await handle.close()
    throw error
  }
  return {
    // Not by join(), which would leave a `.` off: what is left would be the link to the folder.
    at: (name) => (isExact ? `/proc/self/fd/${handle.fd}/${name}` : join(path, name)),
    sync: () => syncFolder(handle),
    close: () => handle.close()
  }
}

/** The path must be the true one of what is there now. Capitals may differ: such disks do not tell them apart. */
export async function refuseOther(path: string): Promise<void> {
  if (fold(await realpath(path)) === fold(path)) return
  throw Object.assign(new Error(`${path} has become a link`), { code: 'ELOOP' })
}

function fold(path: string): string {
  return path.normalize().toUpperCase()
}

/** Windows makes no folder durable, and refuses to. */
async function syncFolder(handle: FileHandle): Promise<void> {
  if (process.platform !== 'win32') await handle.sync()
}
