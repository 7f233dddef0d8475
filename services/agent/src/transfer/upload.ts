import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  blockSize,
  type FileInfo,
  type FileQuery,
  newRequestId,
  type Pacer,
  pack,
  type UploadInit,
  uploadTopics,
  upTopic
} from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'
import { readPiece, sha256 } from '../files.js'

/** Brings content into the central store; content that is there costs one question. */
export interface Uploads {
  /** Resolves when the store has confirmed the whole content. */
  upload(upload: Upload): Promise<void>
  onFileInfo(info: FileInfo): void
}

export interface Upload {
  file: FileHandle
  path: string
  sha256: string
  size: number
  signal: AbortSignal
  /** Shared by all uploads of a step. */
  pacer: Pacer
  /** Sends compressed segments to a store that takes them. */
  compress: boolean
}

export interface UploadsOptions {
  connection: Connection
  clientId: string
  /** Milliseconds to wait for the answer to a file-query. */
  answerMs?: number
  /** Milliseconds between two questions while the store puts the segments together. */
  askAgainMs?: number
}

/** One upload as the store knows it. */
interface Going {
  fileId: string
  isPacked: boolean
  received: number[] | undefined
}

/** Segments on the way at a time: with four the agent has 5 MB more meanwhile; two keep a link with 100 ms of delay at 5 MB/s. */
const inFlight = 2
const maxRounds = 60

export function createUploads({ connection, clientId, answerMs = 10_000, askAgainMs = 200 }: UploadsOptions): Uploads {
  const answers = new Map<string, (info: FileInfo) => void>()

  async function query({ sha256, path, signal }: Upload, fileId: string): Promise<FileInfo> {
    const request: FileQuery = { requestId: newRequestId(), sha256, fileId, name: nameOf(path) }
    const timer = new AbortController()
    const answer = new Promise<FileInfo>((resolve) => answers.set(request.requestId, resolve))
    try {
      await connection.publish(upTopic(clientId, 'file-query'), JSON.stringify(request))
      const info = await Promise.race([
        answer,
        delay(answerMs, undefined, { signal: AbortSignal.any([timer.signal, signal]) })
      ])
      if (!info) throw new Error('the file store does not answer')
      return info
    } finally {
      timer.abort()
      answers.delete(request.requestId)
    }
  }

  /**
   * Rounds of asking and sending what is missing: a lost connection or a restarted store only costs another round. The
   * content's own hash is the upload's id, so any later life of the agent goes on where this one stopped.
   */
  async function upload(one: Upload): Promise<void> {
    let form: Pick<Going, 'fileId' | 'isPacked'> = { fileId: one.sha256, isPacked: false }
    let trouble = 'no reason given'
    for (let round = 1; round <= maxRounds; round += 1) {
      await connected(one.signal)
      const { fileId } = form
      answers.set(fileId, (info) => {
        trouble = info.error ?? trouble
      })
      try {
        const info = await query(one, fileId)
        if (info.stored) return
        if (one.compress && info.takesGzip && !form.isPacked) {
          // An upload of its own: what a plain one has left there keeps its form.
          form = { fileId: `${one.sha256}-gzip`, isPacked: true }
          continue
        }
        await sendMissing(one, { ...form, received: info.received })
        if ((await query(one, fileId)).stored) return
        // The store took everything and has nothing: it remembers this upload as done. Another one it does not know.
        form = { ...form, fileId: `${one.sha256}-${newRequestId()}` }
      } catch (error) {
        if (error instanceof ChangedFile || one.signal.aborted) throw error
        trouble = error instanceof Error ? error.message : String(error)
      } finally {
        answers.delete(fileId)
      }
      await delay(askAgainMs * Math.min(round, 10), undefined, { signal: one.signal })
    }
    throw new Error(`the file store did not take the file: ${trouble}`)
  }

  /** Time without a connection is nobody's fault and counts no round. */
  async function connected(signal: AbortSignal): Promise<void> {
    while (!connection.isConnected()) await delay(askAgainMs, undefined, { signal })
  }

  async function sendMissing(one: Upload, to: Going): Promise<void> {
    const { fileId, received, isPacked } = to
    const form = isPacked ? { encoding: 'gzip' as const } : {}
    const init: UploadInit = { name: nameOf(one.path), size: one.size, checksum: one.sha256, ...form }
    if (!received?.length) await connection.publish(uploadTopics.init(fileId), JSON.stringify(init))
    const have = new Set(received)
    const offsets = Array.from({ length: Math.ceil(one.size / blockSize) }, (_, index) => index * blockSize)
    const missing = offsets.filter((offset) => !have.has(offset))
    await Promise.all(Array.from({ length: inFlight }, () => sendNext(one, to, missing)))
    await connection.publish(uploadTopics.fin(fileId, one.size, one.sha256), '')
  }

  async function sendNext(one: Upload, { fileId, isPacked }: Going, missing: number[]): Promise<void> {
    // One for all: a segment that is acknowledged, or whose connection is gone, needs its bytes no more.
    const buffer = Buffer.allocUnsafe(Math.min(blockSize, one.size))
    for (let offset = missing.shift(); offset !== undefined; offset = missing.shift()) {
      const length = Math.min(blockSize, one.size - offset)
      const piece = await readPiece(one.file, offset, length, buffer)
      if (piece.length !== length) throw new ChangedFile(one.path)
      await one.pacer.pass(piece.length, one.signal)
      one.signal.throwIfAborted()
      await connection.publish(
        uploadTopics.segment(fileId, offset, sha256(piece)),
        isPacked ? await pack(piece) : piece
      )
    }
  }

  return {
    upload,
    onFileInfo: (info) => {
      if (info.requestId !== undefined) answers.get(info.requestId)?.(info)
    }
  }
}

/** The file is no longer what was hashed. */
export class ChangedFile extends Error {
  override readonly name = 'ChangedFile'
  constructor(path: string) {
    super(`${path} changes while it is being sent`)
  }
}

/** At most 240 bytes, as the upload protocol wants. */
function nameOf(path: string): string {
  const name = basename(path)
  return Buffer.byteLength(name) <= 240 ? name : createHash('sha256').update(name).digest('hex')
}
