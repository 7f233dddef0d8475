import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { detached, type Log } from '@fleetgate/contracts'

/** An append-only file set: what is appended together is flushed to the disk together. */
export interface Journal {
  /** Resolves when the bytes are on the disk and `apply` has run; in order of the calls. Rejects where they cannot be. */
  append(bytes: Buffer, apply?: () => void): Promise<void>
  /** Written with the next ones; nobody waits. */
  note(bytes: Buffer): void
  /** Writes what is waiting and closes the file. */
  close(): Promise<void>
}

export interface JournalParts {
  dir: string
  log: Log
  /** Reads one file of records and answers how many bytes of it were whole. */
  replay(bytes: Buffer): number
  /** The whole state as chunks of records; it may change while this is read, as what changes is in the journal too. */
  snapshot(): Iterable<Buffer>
  /** Bytes of journal after which the state is written anew and the older files go. */
  compactAfterBytes: number
}

interface Waiting {
  bytes: Buffer
  apply?: () => void
  resolve?: () => void
  reject?: (error: unknown) => void
}

const snapshotChunkBytes = 1024 * 1024

/** Reads what an earlier process left, then takes records into a file of its own. */
export async function openJournal(parts: JournalParts): Promise<Journal> {
  const { dir, log } = parts
  await mkdir(dir, { recursive: true, mode: 0o700 })
  let number = await replayAll(parts)
  let file = await create(number)
  const waiting: Waiting[] = []
  let working: Promise<void> | undefined
  let compacting: Promise<void> | undefined
  let written = 0
  let closed = false
  let isTorn = false

  function create(at: number): Promise<FileHandle> {
    return open(nameOf(dir, 'log', at), 'wx', 0o600)
  }

  function push(item: Waiting): void {
    waiting.push(item)
    working ??= detached(work)
  }

  async function work(): Promise<void> {
    // What comes in the same turn of the event loop goes along.
    await new Promise(setImmediate)
    for (;;) {
      while (waiting.length > 0) await flush(waiting.splice(0))
      if (written < parts.compactAfterBytes || compacting || closed) break
      written = 0
      if (await startAnew()) compacting = compact(number)
    }
    working = undefined
  }

  async function flush(batch: Waiting[]): Promise<void> {
    try {
      if (isTorn && !(await startAnew())) throw new Error('no file to write to')
      const bytes = Buffer.concat(batch.map((item) => item.bytes))
      isTorn = true
      await writeAll(file, bytes)
      if (batch.some(({ resolve }) => resolve)) await file.datasync()
      isTorn = false
      written += bytes.length
    } catch (err) {
      log.error({ err }, 'sessions not stored: is the disk full?')
      for (const { reject } of batch) reject?.(err)
      return
    }
    for (const { apply } of batch) apply?.()
    for (const { resolve } of batch) resolve?.()
  }

  /** The next file. Also after a failure: half a record may lie at the end of this one, and nothing behind it is read. */
  async function startAnew(): Promise<boolean> {
    try {
      const next = await create(number + 1)
      await syncFolder(dir)
      const old = file
      file = next
      number += 1
      isTorn = false
      await old.close()
      return true
    } catch (err) {
      log.error({ err }, 'no new session journal')
      return false
    }
  }

  async function compact(at: number): Promise<void> {
    try {
      await writeSnapshot(at)
      await removeBefore(dir, at)
    } catch (err) {
      log.error({ err }, 'session journal not compacted')
    }
    compacting = undefined
  }

  async function writeSnapshot(at: number): Promise<void> {
    const draft = nameOf(dir, 'draft', at)
    const handle = await open(draft, 'w', 0o600)
    try {
      let chunks: Buffer[] = []
      let size = 0
      for (const chunk of parts.snapshot()) {
        chunks.push(chunk)
        size += chunk.length
        if (size < snapshotChunkBytes) continue
        await writeAll(handle, Buffer.concat(chunks))
        ;[chunks, size] = [[], 0]
      }
      await writeAll(handle, Buffer.concat(chunks))
      await handle.datasync()
    } finally {
      await handle.close()
    }
    await rename(draft, nameOf(dir, 'state', at))
    await syncFolder(dir)
  }

  await syncFolder(dir)
  return {
    append: (bytes, apply) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(new Error('the session journal is closed'))
        push({ bytes, ...(apply && { apply }), resolve, reject })
      }),
    note(bytes) {
      if (!closed) push({ bytes })
    },
    async close() {
      closed = true
      while (working) await working
      await compacting
      await file.close()
    }
  }
}

type Kind = 'log' | 'state' | 'draft'

function nameOf(dir: string, kind: Kind, number: number): string {
  return join(dir, `${String(number).padStart(10, '0')}.${kind}`)
}

async function numbersOf(dir: string, kind: Kind): Promise<number[]> {
  const names = await readdir(dir)
  return names
    .filter((name) => new RegExp(`^\\d{10}\\.${kind}$`).test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b)
}

/** The newest state, then the journals since. Answers the number of the next journal. */
async function replayAll({ dir, replay, log }: JournalParts): Promise<number> {
  const states = await numbersOf(dir, 'state')
  const state = states.at(-1)
  const logs = (await numbersOf(dir, 'log')).filter((number) => number >= (state ?? 0))
  if (state !== undefined) await replayFile(nameOf(dir, 'state', state))
  for (const number of logs) await replayFile(nameOf(dir, 'log', number))
  for (const number of await numbersOf(dir, 'draft')) await rm(nameOf(dir, 'draft', number))
  return Math.max(state ?? 0, logs.at(-1) ?? 0) + 1

  async function replayFile(name: string): Promise<void> {
    const bytes = await readFile(name)
    const whole = replay(bytes)
    // The last record of a killed process is cut off: it was acknowledged to nobody.
    if (whole < bytes.length) log.warn({ name, bytes: bytes.length - whole }, 'end of a session journal left out')
  }
}

async function removeBefore(dir: string, number: number): Promise<void> {
  for (const kind of ['log', 'state'] as const) {
    const old = (await numbersOf(dir, kind)).filter((other) => other < number)
    for (const other of old) await rm(nameOf(dir, kind, other))
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
}

/** A new file's name is on the disk only when its folder is. */
async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
