import type { StoredValue } from '../entities/storedValue.js'

/** Between what a device says and what its entity holds: `map` where it has the value, else `raw * factor + offset`. */
export interface Conversion {
  factor?: number
  offset?: number
  /** Entity values by what the device says, as text. */
  map?: Record<string, string | number | boolean>
}

export function fromDevice(raw: unknown, conversion: Conversion | undefined, isWhole: boolean): unknown {
  if (!conversion || raw === null || typeof raw === 'object') return raw
  const { factor = 1, offset = 0, map } = conversion
  if (map && Object.hasOwn(map, String(raw))) return map[String(raw)]
  const isLinear = (factor !== 1 || offset !== 0) && String(raw).trim() !== '' && typeof raw !== 'boolean'
  if (!isLinear || !Number.isFinite(Number(raw))) return raw
  const value = tidy(Number(raw) * factor + offset)
  return isWhole ? Math.round(value) : value
}

/** As JSON: a LONG beyond 2^53 stays text. */
export function toDevice(value: StoredValue, conversion: Conversion | undefined): unknown {
  const { factor = 1, offset = 0, map = {} } = conversion ?? {}
  const said = Object.entries(map).find(([, held]) => String(held) === String(value))?.[0]
  if (said !== undefined) return literal(said)
  const plain = typeof value === 'bigint' ? whole(value) : value
  const isLinear = factor !== 1 || offset !== 0
  return typeof plain === 'number' && isLinear ? tidy((plain - offset) / factor) : plain
}

/** As decimals it is 3 * 0.1 = 0.3 and 0.3 / 0.1 = 3: what binary fractions add stands behind the 15th digit. */
function tidy(value: number): number {
  return Number.isSafeInteger(value) ? value : Number(value.toPrecision(15))
}

/** What reads as a number or a truth value was one when the device said it. */
function literal(text: string): unknown {
  return /^(true|false|-?(0|[1-9]\d*)(\.\d+)?)$/.test(text) ? JSON.parse(text) : text
}

function whole(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value.toString()
}
