import { mongo } from 'mongoose'

export const valueTypes = ['STRING', 'LONG', 'DOUBLE', 'BOOLEAN', 'BINARY', 'OBJECT'] as const
export type ValueType = (typeof valueTypes)[number]

/** LONG is a bigint, BINARY base64; an OBJECT has no value of its own. */
export type StoredValue = string | number | bigint | boolean

/** LONG in its own 64 bits; BINARY in hexadecimal, because so texts sort as their bytes do. */
export function toBson(type: ValueType, value: StoredValue): unknown {
  if (typeof value === 'bigint') return mongo.Long.fromBigInt(value)
  if (typeof value === 'number') return new mongo.Double(value)
  return type === 'BINARY' ? Buffer.from(String(value), 'base64').toString('hex') : value
}

export function fromBson(type: ValueType, stored: unknown): StoredValue {
  if (type === 'LONG') return stored instanceof mongo.Long ? stored.toBigInt() : BigInt(Number(stored))
  if (type === 'DOUBLE') return Number(stored)
  if (type === 'BINARY') return Buffer.from(String(stored), 'hex').toString('base64')
  return type === 'BOOLEAN' ? stored === true : String(stored)
}

/** LONG as text: JSON numbers lose digits beyond 2^53. */
export function toWire(value: StoredValue): string | number | boolean {
  return typeof value === 'bigint' ? value.toString() : value
}

/** For code and conditions, which count: LONG as a number where that loses nothing. */
export function wireValue(value: StoredValue): string | number | boolean {
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : toWire(value)
}
