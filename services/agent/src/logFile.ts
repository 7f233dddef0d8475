import { closeSync, existsSync, fstatSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'

export interface LogFileOptions {
  path: string
  /** The file is put aside before it would be larger. */
  maxBytes: number
  /** So many files are kept aside: `path.1`, the newest, to `path.<keep>`. */
  keep: number
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
export function openLogFile({ path, maxBytes, keep }: LogFileOptions): LogFile {
  let file = openSync(path, 'a', 0o600)
  let size = fstatSync(file).size
  let lost = 0

  /** The old file is let go last: should there be no new one, the number of a closed file would soon be another file's. */
  function turnOver(): void {
    fsyncSync(file)
    putAside(path, keep)
    const next = openSync(path, 'a', 0o600)
    closeSync(file)
    file = next
    size = fstatSync(file).size
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
 * From the oldest on: a process that dies in between leaves a gap in the numbers, and no file is written over. Nothing is moved
 * where the file has gone already, in a try after which no new one could be opened.
 */
function putAside(path: string, keep: number): void {
  if (!existsSync(path)) return
  if (keep === 0) {
    rmSync(path, { force: true })
    return
  }
  for (let number = keep; number > 1; number -= 1) move(`${path}.${number - 1}`, `${path}.${number}`)
  move(path, `${path}.1`)
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
