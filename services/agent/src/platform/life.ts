import { closeSync, constants, openSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { markOf, type ProcessMark } from './processes.js'

/** libuv's UV_FS_O_EXLOCK, which Node hands through: while such a file is open nobody else on Windows can open it. */
const forItselfAlone = 0x10000000
/** Somebody who only looks has the file open for no time worth mentioning. */
const tries = 20
const pauseMs = 50

type Open = (path: string, flags: number, mode: number) => number

/** This process, as others know it by its mark; `end` is for one that goes on without what the life was for. */
export interface Life {
  mark: ProcessMark
  end(): void
}

/**
 * Marks this process in a way that ends with it. On Windows, where a process has no more than a number that is soon another's, it
 * has the file open for itself alone: the system lets go of that whatever becomes of the process. Nothing is answered where
 * another process has the file.
 */
export async function beginLife(file: string, isHeld = process.platform === 'win32'): Promise<Life | undefined> {
  const mark = await markOf(process.pid)
  if (!isHeld) return { mark, end: () => {} }
  const held = await take(file)
  return held === undefined ? undefined : { mark: { ...mark, held: file }, end: () => closeSync(held) }
}

/** By number, not by a FileHandle: that would be closed when nobody refers to it any more. */
export async function take(file: string, open: Open = openSync): Promise<number | undefined> {
  for (let left = tries; left > 0; left -= 1) {
    try {
      return open(file, constants.O_RDWR | constants.O_CREAT | forItselfAlone, 0o600)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
      await delay(pauseMs)
    }
  }
  return undefined
}
