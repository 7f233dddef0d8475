import { constants } from 'node:fs'
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { writePiece } from '../files.js'
import type { Log } from '../log.js'
import { syncPath } from '../platform/replaceFile.js'
import { readLines } from './readLines.js'

/** An append-only file of JSON lines that survives kill -9 and power loss at any point. */
export interface Journal {
  /** Resolves when the line is on disk. Lines stand in the order of the calls. */
  append(record: object): Promise<void>
  /** Resolves when everything appended so far is on disk. */
  flushed(): Promise<void>
  /**
   * Replaces the file by these lines, atomically; they are asked for when the file's turn comes. Resolves also where the disk
   * has no room for that: then the file is as it was.
   */
  rewrite(records: () => Iterable<object>): Promise<void>
  /** Bytes of the file. */
  size(): number
  close(): Promise<void>
}

/** Never for adding at the end: what is open for that cannot be cut on Windows, so each write says where it goes. */
const openKept = constants.O_WRONLY | constants.O_CREAT
const openAnew = openKept | constants.O_TRUNC

interface Job {
  line?: string
  rewrite?: () => Iterable<object>
  done: () => void
}

export interface JournalOptions {
  file: string
  log: Log
  /** Milliseconds between two tries when the disk refuses (full, read-only). */
  retryMs?: number
  /** Without patience: nothing may be written meanwhile, and the next try is as good. */
  replace?: (from: string, to: string) => Promise<void>
}

/** Opens or creates the journal and answers what it holds. A torn last line, left by a sudden death, is cut off. */
export async function openJournal(options: JournalOptions): Promise<{ journal: Journal; records: unknown[] }> {
  const { file, log } = options
  await rm(`${file}.new`, { force: true })
  const content = await readFile(file).catch(absentIsEmpty)
  const { records, goodBytes, broken } = readLines(content)
  if (broken > 0) log.error({ file, broken }, 'journal has unreadable lines; they are left out')
  const handle = await open(file, openKept, 0o600)
  if (goodBytes < content.length) {
    log.warn({ file, bytes: content.length - goodBytes }, 'torn last line of the journal cut off')
    await handle.truncate(goodBytes)
  }
  await handle.sync()
  await syncPath(dirname(file))
  return { journal: createWriter(options, handle, goodBytes), records }
}

function createWriter(options: JournalOptions, first: FileHandle, firstSize: number): Journal {
  const { file, log, retryMs = 1000, replace: putInPlace = rename } = options
  let handle: FileHandle | undefined = first
  let size = firstSize
  /** A write that failed may have left a piece of a line at the end. */
  let isTorn = false
  /** The file has taken the place of another, which is durable only when the folder is. */
  let isFolderStale = false
  const jobs: Job[] = []
  let work: Promise<void> | undefined

  function add(job: Omit<Job, 'done'>): Promise<void> {
    return new Promise((done) => {
      jobs.push({ ...job, done })
      work ??= pump()
    })
  }

  /** One write and one fsync for all that came together: a burst of records costs as much as one. */
  async function pump(): Promise<void> {
    await Promise.resolve()
    while (jobs.length > 0) {
      const isRewrite = jobs[0]?.rewrite !== undefined
      const end = isRewrite ? 1 : jobs.findIndex((job) => job.rewrite)
      const batch = jobs.splice(0, end < 0 ? jobs.length : end)
      await (isRewrite ? tryToReplace(batch) : untilWritten(batch))
      for (const job of batch) job.done()
    }
    // In the same breath as the last look at the list: a job added later must find that nobody works.
    work = undefined
  }

  /** The disk refusing is no reason to act without a journal: everything waits until it takes the lines. */
  async function untilWritten(batch: Job[]): Promise<void> {
    for (;;) {
      try {
        return await write(batch)
      } catch (error) {
        log.error({ file, err: error }, 'journal cannot be written; trying again')
        await delay(retryMs)
      }
    }
  }

  async function write(batch: Job[]): Promise<void> {
    // It was let go for a new one that did not come.
    handle ??= await open(file, constants.O_WRONLY)
    // Before anything else: a line that followed a piece of another could never be read.
    if (isTorn) await handle.truncate(size)
    isTorn = true
    const bytes = Buffer.from(batch.map((job) => job.line ?? '').join(''))
    await writePiece(handle, bytes, size)
    await handle.datasync()
    if (isFolderStale) await syncPath(dirname(file))
    isTorn = false
    isFolderStale = false
    size += bytes.length
  }

  /** Needs more room than the lines themselves; without it the file stays as it is, and grows. */
  async function tryToReplace(batch: Job[]): Promise<void> {
    try {
      await replace(batch)
    } catch (error) {
      log.warn({ file, err: error }, 'journal cannot be written anew, it goes on growing')
    }
  }

  async function replace([job]: Job[]): Promise<void> {
    const text = [...(job?.rewrite?.() ?? [])].map(toLine).join('')
    handle = await writeNext(text)
    size = Buffer.byteLength(text)
    isTorn = false
    isFolderStale = true
    await syncPath(dirname(file))
    isFolderStale = false
  }

  /** Answers the new file under the journal's name, open for more lines. */
  async function writeNext(text: string): Promise<FileHandle> {
    const next = await open(`${file}.new`, openAnew, 0o600)
    try {
      await next.writeFile(text)
      await next.sync()
      // Windows puts nothing in the place of a file that is open.
      const before = handle
      handle = undefined
      await before?.close()
      await putInPlace(`${file}.new`, file)
      return next
    } catch (error) {
      await next.close()
      await rm(`${file}.new`, { force: true })
      throw error
    }
  }

  return {
    append: (record) => add({ line: toLine(record) }),
    flushed: () => (work ? add({ line: '' }) : Promise.resolve()),
    rewrite: (records) => add({ rewrite: records }),
    size: () => size,
    close: async () => {
      await work
      await handle?.close()
    }
  }
}

function toLine(record: object): string {
  return `${JSON.stringify(record)}\n`
}

function absentIsEmpty(error: NodeJS.ErrnoException): Buffer {
  if (error.code === 'ENOENT') return Buffer.alloc(0)
  throw error
}
