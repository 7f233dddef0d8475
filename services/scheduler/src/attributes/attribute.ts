import { AppError } from '@fleetgate/kit'
import { isClientField, toNumber } from '../groups/rule.js'

/** The numbers of the document's `type`. */
export const attributeTypes = ['text', 'number', 'boolean', 'time'] as const

/** A property that machines of a tenant can have, beside what they report of themselves. */
export interface Attribute {
  _id: string
  tenantId: string
  attributeId: number
  attributeName: string
  type: number
  /** Counts for machines that have no value of their own; empty: there is none. */
  defaultValue: string
  display: boolean
  /** Operators cannot assign a value: the machine's own report counts, else the default. */
  readOnly: boolean
}

export type AttributeDraft = Pick<Attribute, 'attributeName' | 'type' | 'defaultValue' | 'display' | 'readOnly'>

/** A value as a client carries it: `number` is there where the text is one, so that queries can compare it. */
export interface Value {
  name: string
  value: string
  number?: number
}

export function toValue(name: string, value: string): Value {
  const number = toNumber(value)
  return number === undefined ? { name, value } : { name, value, number }
}

export function checkAttribute({ attributeName, type, defaultValue }: AttributeDraft): void {
  if (isClientField(attributeName)) {
    const message = `${attributeName} is a field of every client: choose another name`
    throw new AppError('invalid_input', message, { field: 'attributeName' })
  }
  if (defaultValue !== '') checkValue(type, defaultValue, 'defaultValue')
}

export function checkValue(type: number, value: string, field: string): void {
  const kind = attributeTypes[type]
  const isRight =
    kind === 'number'
      ? toNumber(value) !== undefined
      : kind === 'boolean'
        ? value === 'true' || value === 'false'
        : kind !== 'time' || toNumber(value) !== undefined || Number.isFinite(Date.parse(value))
  if (!isRight) throw new AppError('invalid_input', `${field} is no ${kind}`, { field })
}
