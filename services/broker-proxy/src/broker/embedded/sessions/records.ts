import { crc32 } from 'node:zlib'
import { encodeMessage, type MessageRecord, readMessage } from './messageRecord.js'

/** What is known of a kept session's last connection; numbers of sessions are never used twice. */
export interface KeptFacts {
  no: number
  clientId: string
  tenantId: string
  username: string
  ip: string
  port: number
  keepalive: number
  protoVer: number
  connectedAt: number
  createdAt: number
}

export interface WillRecord {
  facts: KeptFacts
  topic: string
  /** base64 */
  payload: string
  qos: 0 | 1 | 2
  retain: boolean
}

/** One step in the life of a message within one session's queue. */
export interface StepRecord {
  kind: 'queued' | 'sent' | 'released' | 'done' | 'received' | 'finished'
  no: number
  /** Of the message; 0 for what a client sent. */
  seq: number
  /** `queued`: the QoS; otherwise the packet id. */
  id: number
}

export type SessionChange =
  | { kind: 'subscribed'; no: number; filters: [filter: string, qos: number][] }
  | { kind: 'unsubscribed'; no: number; filters: string[] }
  | { kind: 'ended'; no: number }
  /** Since when its client is away, epoch ms; 0: it is there. */
  | { kind: 'absent'; no: number; at: number }

/** Everything that changes what outlasts the process. Applying one twice in the same order changes nothing. */
export type SessionRecord =
  | { kind: 'session'; facts: KeptFacts }
  | SessionChange
  | { kind: 'will'; will: WillRecord }
  | { kind: 'willDone'; clientId: string; connectedAt: number }
  | MessageRecord
  | StepRecord

const steps = ['queued', 'sent', 'released', 'done', 'received', 'finished'] as const satisfies StepRecord['kind'][]
const typeOfJson = 1
const typeOfMessage = 2
const firstStep = 16
const headBytes = 9
const stepBytes = headBytes + 14

/** A record as it lies in the journal: length, CRC-32 of what follows, type, body. */
export function encode(record: SessionRecord): Buffer {
  const frame = frameOf(record)
  frame.writeUInt32LE(frame.length - 8, 0)
  frame.writeUInt32LE(crc32(frame.subarray(8)), 4)
  return frame
}

function frameOf(record: SessionRecord): Buffer {
  if (record.kind === 'message') return encodeMessage(record, headBytes, typeOfMessage)
  const step = steps.indexOf(record.kind as StepRecord['kind'])
  if (step < 0) return jsonFrame(record)
  const { no, seq, id } = record as StepRecord
  const frame = Buffer.allocUnsafe(stepBytes)
  frame.writeUInt8(firstStep + step, 8)
  frame.writeUInt32LE(no, headBytes)
  frame.writeDoubleLE(seq, headBytes + 4)
  frame.writeUInt16LE(id, headBytes + 12)
  return frame
}

function jsonFrame(record: SessionRecord): Buffer {
  const body = Buffer.from(JSON.stringify(record))
  const frame = Buffer.allocUnsafe(headBytes + body.length)
  frame.writeUInt8(typeOfJson, 8)
  body.copy(frame, headBytes)
  return frame
}

/**
 * Reads records until the end, or to the first that is not whole: what a killed process was writing. Answers the bytes
 * that were whole.
 */
export function decodeAll(bytes: Buffer, onRecord: (record: SessionRecord) => void): number {
  let at = 0
  while (at + headBytes <= bytes.length) {
    const length = bytes.readUInt32LE(at)
    const end = at + 8 + length
    if (length < 1 || end > bytes.length) break
    const rest = bytes.subarray(at + 8, end)
    if (crc32(rest) !== bytes.readUInt32LE(at + 4)) break
    onRecord(read(rest))
    at = end
  }
  return at
}

function read(bytes: Buffer): SessionRecord {
  const type = bytes.readUInt8(0)
  if (type === typeOfJson) return JSON.parse(bytes.toString('utf8', 1)) as SessionRecord
  if (type === typeOfMessage) return readMessage(bytes.subarray(1))
  const kind = steps[type - firstStep]
  if (!kind) throw new Error(`the session journal has a record of the unknown type ${type}`)
  return { kind, no: bytes.readUInt32LE(1), seq: bytes.readDoubleLE(5), id: bytes.readUInt16LE(13) }
}
