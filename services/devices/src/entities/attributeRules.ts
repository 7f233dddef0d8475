import { AppError } from '@fleetgate/kit'
import type { Attribute } from './entity.js'
import { isPattern } from './valueFormats.js'
import { limitOf } from './valueRules.js'

/** Entries of an `enum` and the bytes of it all: an attribute is read with every value. */
const maxEntries = 100
const maxBytes = 16_384
const formats = new Set(['HEX', 'IMAGE', 'IMAGE:URL', 'IMAGE:BASE64'])

/** Refuses an attribute that no value could be held against; keys that mean nothing here are kept as they are. */
export function checkAttribute(attribute: Attribute): void {
  if (JSON.stringify(attribute).length > maxBytes) refuse('', `is longer than ${maxBytes} characters`)
  checkPair(attribute, 'min', 'max')
  checkPair(attribute, 'min_length', 'max_length')
  checkLengths(attribute)
  checkEnum(attribute.enum)
  checkFormat(attribute.format)
  const { fraction_digits, optional, unit } = attribute
  if (isGiven(fraction_digits) && !isCount(fraction_digits, 15)) refuse('fraction_digits', 'must be 0 to 15')
  if (isGiven(optional) && typeof optional !== 'boolean') refuse('optional', 'must be a boolean')
  if (isGiven(unit) && (typeof unit !== 'string' || unit.length > 15)) refuse('unit', 'must be at most 15 characters')
}

function checkPair(attribute: Attribute, lowKey: string, highKey: string): void {
  const [low, high] = [lowKey, highKey].map((key) => {
    const limit = limitOf(attribute[key])
    if (isGiven(attribute[key]) && limit === undefined) refuse(key, 'must be a number')
    return limit
  })
  if (low !== undefined && high !== undefined && low > high) refuse(highKey, `is less than ${lowKey}`)
}

function checkLengths({ min_length, max_length, length_range }: Attribute): void {
  for (const [key, length] of Object.entries({ min_length, max_length })) {
    if (isGiven(length) && !isCount(length, 10_000_000)) refuse(key, 'must be a length')
  }
  if (!isGiven(length_range)) return
  if (typeof length_range !== 'string' || !/^\d{1,8}(,\d{1,8})*$/.test(length_range)) {
    refuse('length_range', 'must be lengths with commas between')
  }
}

function checkEnum(labels: unknown): void {
  if (!isGiven(labels)) return
  if (typeof labels !== 'object' || Array.isArray(labels)) refuse('enum', 'must be an object')
  const entries = Object.entries(labels as object)
  if (entries.length > maxEntries) refuse('enum', `has more than ${maxEntries} entries`)
  if (entries.some(([, label]) => typeof label !== 'string')) refuse('enum', 'must map values to labels')
}

function checkFormat(format: unknown): void {
  if (!isGiven(format) || format === '') return
  if (typeof format !== 'string') throw refusal('format', 'must be a string')
  const pattern = format.startsWith('REGEX:') ? format.slice('REGEX:'.length) : undefined
  const isKnown = pattern === undefined ? formats.has(format) : pattern.length <= 256 && isPattern(pattern)
  if (!isKnown) refuse('format', 'is none of HEX, IMAGE, IMAGE:URL, IMAGE:BASE64 and REGEX:<pattern>')
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}

/** The web client sends what people typed: numbers as texts. */
function isCount(value: unknown, most: number): boolean {
  const count = limitOf(value)
  return count !== undefined && Number.isInteger(count) && count >= 0 && count <= most
}

function refuse(key: string, reason: string): never {
  throw refusal(key, reason)
}

function refusal(key: string, reason: string): AppError {
  const field = key ? `value_attribute.${key}` : 'value_attribute'
  return new AppError('invalid_input', `${field} ${reason}`, { field })
}
