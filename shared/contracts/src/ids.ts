import { randomBytes, randomUUID } from 'node:crypto'
import { Type } from './schema.js'

/** A time-ordered unique id: 48 bits of epoch milliseconds and 80 random bits, 32 hexadecimal digits. */
export function newId(now: number = Date.now()): string {
  return now.toString(16).padStart(12, '0') + randomBytes(10).toString('hex')
}

const numericEpoch = Date.UTC(2020, 0, 1)
let lastNumericId = 0n

/**
 * A time-ordered 64-bit number in decimal, as Beaver IoT's ids are: milliseconds since 2020 and 22 random bits. Unique
 * within a process; between processes a unique index has the last word.
 */
export function newNumericId(now: number = Date.now()): string {
  const id = (BigInt(now - numericEpoch) << 22n) | BigInt(randomBytes(4).readUInt32BE() >>> 10)
  lastNumericId = id > lastNumericId ? id : lastNumericId + 1n
  return lastNumericId.toString()
}

/** A random id without order, 32 hexadecimal digits: request ids. */
export function newRequestId(): string {
  return randomUUID().replaceAll('-', '')
}

/**
 * An MQTT client id as one NATS subject token, and back. Client ids may hold any character; NATS tokens may
 * hold no dot, blank, `*` or `>`.
 */
export function toToken(id: string): string {
  return Buffer.from(id, 'utf8').toString('base64url') || '_'
}

export function fromToken(token: string): string {
  return token === '_' ? '' : Buffer.from(token, 'base64url').toString('utf8')
}

export const TenantId = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' })
export const ClientId = Type.String({ minLength: 1, maxLength: 256 })
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
export const EpochMs = Type.Number({ minimum: 0, description: 'milliseconds since 1970-01-01 UTC' })
