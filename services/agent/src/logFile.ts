import { closeSync, existsSync, fstatSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { isInUse } from './platform/replaceFile.js'

export interface LogFileOptions {
  path: string
  /** The file is put aside before it would be larger. */
  maxBytes: number
  /** So many files are kept aside: `path.1`, the newest, to `path.<keep>`. */
  keep: number
  rename?: (from: string, to: string) => void
}

export interface LogFile {
  /** Whole lines. They are with the operating system when this returns: nothing is lost with the process. */
  write(lines: string): void
  close(): void
}

/**
 * A log file that turns over by itself. Lines are written at once and one after the other, which streams that gather them
 * do not, and which costs nothing at the few lines of an agent. Renaming makes each file whole under its name at any moment.
 * A disk that is full costs log lines, and says how many when it has room; it must not cost the agent.
 */
export function openLogFile({ path, maxBytes, keep, rename = renameSync }: LogFileOptions): LogFile {
  let file = openSync(path, 'a', 0o600)
  let size = fstatSync(file).size
  let lost = 0

  /** The old file is let go last: should there be no new one, the number of a closed file would soon be another file's. */
  function turnOver(): void {
    fsyncSync(file)
    if (!isPutAside()) return
    const next = openSync(path, 'a', 0o600)
    closeSync(file)
    file = next
    size = fstatSync(file).size
  }

  /** On Windows a file that somebody reads may not be moved. Then this one goes on, and is put aside when it may be. */
  function isPutAside(): boolean {
    try {
      putAside({ path, keep, rename })
      return true
    } catch (error) {
      if (isInUse(error)) return false
      throw error
    }
  }

  function append(lines: string): void {
    const bytes = Buffer.from(lines)
    if (size > 0 && size + bytes.length > maxBytes) turnOver()
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done)
    size += bytes.length
  }

  return {
    write(lines) {
      try {
        // A line of its own, since the write that failed may have left half of one.
        if (lost > 0) append(`\n${JSON.stringify({ level: 50, time: Date.now(), lost, msg: 'log lines were lost' })}\n`)
        lost = 0
        append(lines)
      } catch {
        lost += 1
      }
    },
    close: () => closeSync(file)
  }
}

/**
 * From the oldest on, up to the first gap: a process that dies in between leaves a gap in the numbers, as does a file that cannot
 * be moved, and no file is written over. Nothing is moved where the file has gone already, in a try after which no new one could
 * be opened.
 */
function putAside({ path, keep, rename }: Pick<Required<LogFileOptions>, 'path' | 'keep' | 'rename'>): void {
  if (!existsSync(path)) return
  if (keep === 0) {
    rmSync(path, { force: true })
    return
  }
  let last = 1
  while (last < keep && existsSync(`${path}.${last}`)) last += 1
  for (let number = last; number > 1; number -= 1) rename(`${path}.${number - 1}`, `${path}.${number}`)
  rename(path, `${path}.1`)
}
