import {
  AppError,
  BlocksRequest,
  blockSize,
  CastJoin,
  compile,
  downTopic,
  type FileInfo,
  FileQuery,
  isCastOf,
  type Log,
  type UpChannel,
  UploadInit
} from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import type { BrokerDriver, InboundMessage, Session } from '../broker/brokerDriver.js'
import type { FileChannel } from '../uplink/uplink.js'
import { blockCount } from './blocks.js'
import type { Casts } from './casts.js'
import type { Downloads } from './downloads.js'
import type { FileNames } from './fileNames.js'
import type { FileKey, FileStore, StoredFile } from './fileStore.js'
import type { Uploads } from './uploads.js'
import { parseUploadTopic, type UploadStep } from './uploadTopic.js'

export interface FileChannelParts {
  uploads: Uploads
  downloads: Downloads
  casts: Pick<Casts, 'join'>
  files: FileStore
  names: Pick<FileNames, 'note'>
  /** Somebody asks for it. */
  onUsed(key: FileKey): void
  driver: Pick<BrokerDriver, 'send'>
  /** Whether the tenant's machines may send and fetch files. */
  isOn(tenantId: string): boolean
  log: Log
}

const checkInit = compile(UploadInit)
const checkQuery = compile(FileQuery)
const checkJoin = compile(CastJoin)
const checkBlocks = compile(BlocksRequest)
/** Stands in file-info where no content is known. */
const noSha256 = '0'.repeat(64)
const notStored = 'the file is not in the store'
const refusals = new Set(['invalid_input', 'malformed_body', 'quota_exceeded'])
const keptFacts = 64 * 1024 * 1024
/** Another replica may delete it. */
const keptFactsMs = 1_000

/**
 * The file protocol at the client's edge. A rejection closes the connection without an acknowledgement (our own parts are
 * away); what the client did wrong is acknowledged, as MQTT 3.1.1 has no other answer, and told on down/file-info.
 */
export function createFileChannel(
  parts: FileChannelParts
): FileChannel & { forget(tenantId: string, sha256: string): void } {
  const { uploads, downloads, casts, names, log } = parts
  const facts = new LRUCache<string, StoredFile>({
    maxSize: keptFacts,
    ttl: keptFactsMs,
    sizeCalculation: ({ blocks }) => blocks.length + 500
  })

  async function fileOf(tenantId: string, sha256: string): Promise<StoredFile | undefined> {
    const key = `${tenantId}:${sha256}`
    const kept = facts.get(key)
    const found = kept ?? (await parts.files.find(tenantId, sha256))
    if (!found) return undefined
    if (!kept) facts.set(key, found)
    parts.onUsed(found)
    return found
  }

  const tell = (session: Session, info: Omit<FileInfo, 'blockSize'>) => sendFileInfo(parts.driver, session, info)

  function checkOn({ tenantId }: Session): void {
    if (!parts.isOn(tenantId)) throw new AppError('invalid_input', 'file transfer is switched off')
  }

  async function run(session: Session, step: UploadStep, payload: Buffer): Promise<void> {
    const key = { tenantId: session.tenantId, clientId: session.clientId, fileId: step.fileId }
    if (step.kind === 'init') await uploads.init(key, checkInit(parse(payload)))
    else if (step.kind === 'segment') await uploads.segment(key, step.offset, payload, step.sha256)
    else if (step.kind === 'abort') await uploads.abort(key)
    else {
      const { sha256, size, name } = await uploads.finish(key, step.size, step.sha256)
      if (name !== undefined) await names.note({ ...key, sha256 }, { clientId: key.clientId, fileName: name })
      log.info({ ...key, sha256, size }, 'file uploaded')
      tell(session, { requestId: step.fileId, sha256, stored: true, size })
    }
  }

  async function answerQuery(session: Session, { requestId, sha256, fileId, name }: FileQuery): Promise<void> {
    const { tenantId, clientId } = session
    const file = await fileOf(tenantId, sha256)
    if (file && name !== undefined) await names.note(file, { clientId, fileName: name })
    const received = fileId === undefined || file ? undefined : await uploads.received({ tenantId, clientId, fileId })
    tell(session, {
      requestId,
      sha256,
      stored: file !== undefined,
      ...(file ? { size: file.size } : {}),
      ...(received ? { received } : {}),
      takesGzip: true
    })
  }

  async function answerBlocks(session: Session, { sha256, blocks, gzip = false }: BlocksRequest): Promise<void> {
    const file = await fileOf(session.tenantId, sha256)
    const count = file ? blockCount(file) : 0
    if (!file) tell(session, { sha256, stored: false, error: notStored })
    else if (blocks.some((index) => index >= count)) {
      tell(session, { sha256, stored: true, size: file.size, error: `the file has ${count} blocks` })
    } else downloads.send(session, file, { blocks, gzip })
  }

  async function countIn(session: Session, { castId, sha256, rateLimit, gzip = false }: CastJoin): Promise<void> {
    const { tenantId } = session
    if (!isCastOf(tenantId, castId)) throw new AppError('invalid_input', `${castId} is no cast of this tenant`)
    const file = await fileOf(tenantId, sha256)
    if (file) await casts.join({ tenantId, castId, file, rateLimit, gzip })
    else tell(session, { sha256, stored: false, error: notStored })
  }

  return {
    forget: (tenantId, sha256) => void facts.delete(`${tenantId}:${sha256}`),

    async upload(session, { topic, payload }: InboundMessage) {
      const step = parseUploadTopic(topic)
      try {
        if (!step) throw new AppError('invalid_input', 'not a topic of the file protocol')
        checkOn(session)
        await run(session, step, payload)
      } catch (error) {
        if (!isRefusal(error)) throw error
        log.debug({ clientId: session.clientId, topic, reason: error.message }, 'upload step refused')
        tell(session, {
          requestId: step?.fileId ?? '',
          sha256: step?.sha256 ?? noSha256,
          stored: false,
          error: error.message
        })
      }
    },

    async ask(session: Session, channel: UpChannel, payload: Buffer) {
      try {
        checkOn(session)
        if (channel === 'file-query') await answerQuery(session, checkQuery(parse(payload)))
        else if (channel === 'cast-join') await countIn(session, checkJoin(parse(payload)))
        else await answerBlocks(session, checkBlocks(parse(payload)))
      } catch (error) {
        if (!isRefusal(error)) throw error
        tell(session, { sha256: noSha256, stored: false, error: error.message })
      }
    }
  }
}

/** down/file-info. Not waited for: a slow socket must not hold up what the client sends next. */
export function sendFileInfo(
  driver: Pick<BrokerDriver, 'send'>,
  session: Session,
  info: Omit<FileInfo, 'blockSize'>
): void {
  const payload = Buffer.from(JSON.stringify({ ...info, blockSize }))
  void driver.send(session, { topic: downTopic(session.clientId, 'file-info'), payload, qos: 1 })
}

function isRefusal(error: unknown): error is AppError {
  return error instanceof AppError && refusals.has(error.code)
}

function parse(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'))
  } catch (cause) {
    throw new AppError('malformed_body', 'the payload is not JSON', {}, { cause })
  }
}
