import type { Attribute } from './entity.js'
import type { StoredValue, ValueType } from './storedValue.js'
import { formatReason } from './valueFormats.js'

export interface ValueSpec {
  valueType: ValueType
  attribute: Attribute
}

/** The value as it is kept (nothing for an optional one that is left out), or why it is refused. */
export type Checked = { value: StoredValue | undefined } | { reason: string }

const longMin = -(2n ** 63n)
const longMax = 2n ** 63n - 1n

/** Converts what a client or a device sent to the type of its entity and holds it against `value_attribute`. */
export function checkValue(spec: ValueSpec, given: unknown): Checked {
  const { valueType, attribute } = spec
  if (given === null || given === undefined) {
    return attribute.optional === true ? { value: undefined } : { reason: 'is required' }
  }
  if (given === '' && attribute.optional === true) return { value: emptyOf(valueType) }
  const value = convert(valueType, given)
  if (value === undefined) return { reason: `is no ${valueType}` }
  // A zero with a sign is plain zero in JSON, so it is kept as that.
  const fitting = typeof value === 'number' ? round(value, attribute.fraction_digits) + 0 : value
  const reason = rangeReason(fitting, attribute) ?? lengthReason(fitting, spec) ?? enumReason(fitting, spec)
  const refusal = reason ?? formatReason(fitting, valueType, attribute.format)
  return refusal === undefined ? { value: fitting } : { reason: refusal }
}

/** Nothing is held against an empty text where the value may be left out; of what is no text it leaves it out. */
function emptyOf(type: ValueType): StoredValue | undefined {
  return type === 'STRING' || type === 'BINARY' ? '' : undefined
}

function convert(type: ValueType, given: unknown): StoredValue | undefined {
  switch (type) {
    case 'STRING':
      return typeof given === 'object' ? undefined : String(given)
    case 'LONG':
      return toLong(given)
    case 'DOUBLE':
      return toDouble(given)
    case 'BOOLEAN':
      return toBoolean(given)
    case 'BINARY':
      // The bytes are kept, so what is answered is their plain form: AB== and AA== are the same byte.
      return typeof given === 'string' && isBase64(given) ? Buffer.from(given, 'base64').toString('base64') : undefined
    default:
      return undefined
  }
}

/** A number beyond 2^53 has lost digits before it came here: those must come as text. */
function toLong(given: unknown): bigint | undefined {
  if (typeof given === 'number') return Number.isSafeInteger(given) ? BigInt(given) : undefined
  if (typeof given !== 'string' || !/^[+-]?\d{1,20}$/.test(given)) return undefined
  const value = BigInt(given.replace('+', ''))
  return value >= longMin && value <= longMax ? value : undefined
}

function toDouble(given: unknown): number | undefined {
  const isText = typeof given === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/.test(given)
  if (typeof given !== 'number' && !isText) return undefined
  const value = Number(given)
  return Number.isFinite(value) ? value : undefined
}

function toBoolean(given: unknown): boolean | undefined {
  // An object may have a `toString` that is no function.
  if (typeof given === 'object') return undefined
  const text = String(given).toLowerCase()
  if (text !== 'true' && text !== 'false') return undefined
  return text === 'true'
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)
}

/** Half up, by decimal digits as they are printed: 1.005 becomes 1.01. */
export function round(value: number, wanted: unknown): number {
  const digits = limitOf(wanted)
  if (digits === undefined || !Number.isInteger(digits) || digits < 0 || digits > 15) return value
  const [mantissa = '', exponent = '0'] = Math.abs(value).toExponential().split('e')
  const shifted = Number(`${mantissa}e${Number(exponent) + digits}`)
  if (shifted >= Number.MAX_SAFE_INTEGER) return value
  const rounded = Number(`${Math.round(shifted)}e${-digits}`)
  return value < 0 ? -rounded : rounded
}

function rangeReason(value: StoredValue, { min, max }: Attribute): string | undefined {
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined
  // JavaScript compares a bigint with a number by their exact values.
  const low = limitOf(min)
  const high = limitOf(max)
  if (low !== undefined && value < low) return `is less than ${low}`
  return high !== undefined && value > high ? `is greater than ${high}` : undefined
}

/** A limit may be written as text; what is no number limits nothing. */
export function limitOf(limit: unknown): number | undefined {
  if (typeof limit !== 'number' && typeof limit !== 'string') return undefined
  const value = limit === '' ? Number.NaN : Number(limit)
  return Number.isNaN(value) ? undefined : value
}

function lengthReason(value: StoredValue, { valueType, attribute }: ValueSpec): string | undefined {
  if (valueType !== 'STRING' || typeof value !== 'string') return undefined
  const length = [...value].length
  const least = limitOf(attribute.min_length)
  const most = limitOf(attribute.max_length)
  if (least !== undefined && length < least) return `is shorter than ${least} characters`
  if (most !== undefined && length > most) return `is longer than ${most} characters`
  if (typeof attribute.length_range !== 'string') return undefined
  const allowed = attribute.length_range.split(',').map(Number)
  return allowed.includes(length) ? undefined : `must have ${attribute.length_range} characters`
}

/** For texts only: numbers and booleans use the same map for their labels, as the real system does. */
function enumReason(value: StoredValue, { valueType, attribute }: ValueSpec): string | undefined {
  const labels = attribute.enum
  if (valueType !== 'STRING' || typeof labels !== 'object' || labels === null) return undefined
  const allowed = Object.keys(labels)
  return allowed.includes(String(value)) ? undefined : `must be one of ${allowed.slice(0, 20).join(', ')}`
}
