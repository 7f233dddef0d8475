/** A message with everything that is decided about it: one record, so that all of it is kept or nothing. */
export interface MessageRecord {
  kind: 'message'
  /** Grows with each message; its identity. */
  seq: number
  /** Below the tenant's mount point. */
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  /** Replaces the retained message of its topic. */
  retain: boolean
  /** The kept session that sent it with QoS 2, and its packet id; 0 otherwise. */
  from: number
  fromId: number
  /** Whose queues it goes into: session number × 4 + QoS. */
  targets: number[]
}

const fixedBytes = 8 + 1 + 4 + 2 + 2 + 4

/** The body stands behind `headBytes`, of which the last one is the type. */
export function encodeMessage(record: MessageRecord, headBytes: number, type: number): Buffer {
  const { seq, topic, payload, qos, retain, from, fromId, targets } = record
  const name = Buffer.from(topic)
  const frame = Buffer.allocUnsafe(headBytes + fixedBytes + targets.length * 4 + name.length + payload.length)
  let at = frame.writeUInt8(type, headBytes - 1)
  at = frame.writeDoubleLE(seq, at)
  at = frame.writeUInt8(qos | (retain ? 4 : 0), at)
  at = frame.writeUInt32LE(from, at)
  at = frame.writeUInt16LE(fromId, at)
  at = frame.writeUInt16LE(name.length, at)
  at = frame.writeUInt32LE(targets.length, at)
  for (const target of targets) at = frame.writeUInt32LE(target, at)
  at += name.copy(frame, at)
  payload.copy(frame, at)
  return frame
}

export function readMessage(bytes: Buffer): MessageRecord {
  const flags = bytes.readUInt8(8)
  const nameLength = bytes.readUInt16LE(15)
  const count = bytes.readUInt32LE(17)
  const targets: number[] = []
  for (let index = 0; index < count; index++) targets.push(bytes.readUInt32LE(fixedBytes + index * 4))
  const nameAt = fixedBytes + count * 4
  const payloadAt = nameAt + nameLength
  return {
    kind: 'message',
    seq: bytes.readDoubleLE(0),
    topic: bytes.toString('utf8', nameAt, payloadAt),
    // A copy: a slice would keep the whole journal file in memory.
    payload: Buffer.from(bytes.subarray(payloadAt)),
    qos: (flags & 3) as 0 | 1 | 2,
    retain: (flags & 4) !== 0,
    from: bytes.readUInt32LE(9),
    fromId: bytes.readUInt16LE(13),
    targets
  }
}
