import { AppError } from '@fleetgate/kit'

export const ruleOperations = ['EQ', 'NE', 'CONTAINS', 'STARTS_WITH', 'GT', 'GTE', 'LT', 'LTE', 'IN'] as const
export type RuleOperation = (typeof ruleOperations)[number]

type Kind = 'text' | 'number' | 'flag' | 'time'
type Operand = string | number | boolean

/** A query of a group: which machines belong to it. */
export interface Rule {
  /** A field of a client, or the name of an attribute. */
  property: string
  /** Unset for an attribute. */
  field?: { path: string; kind: Kind }
  operation: RuleOperation
  /** One, or several for IN; of the type of the field. */
  operands: Operand[]
}

const text = (path: string) => ({ path, kind: 'text' as const })
const time = (path: string) => ({ path, kind: 'time' as const })

/** Client fields under our names and the document's. Any other property is an attribute. */
const fields: Record<string, { path: string; kind: Kind }> = {
  clientId: { path: 'clientId', kind: 'number' },
  mqttClientId: text('mqttClientId'),
  username: text('username'),
  ip: text('ip'),
  role: text('role'),
  status: text('status'),
  version: text('version'),
  enabled: { path: 'enabled', kind: 'flag' },
  enable: { path: 'enabled', kind: 'flag' },
  connectedAt: time('connectedAt'),
  connectAt: time('connectedAt'),
  disconnectedAt: time('disconnectedAt'),
  disconnectAt: time('disconnectedAt'),
  createdAt: time('createdAt'),
  createAt: time('createdAt')
}

const ordered: readonly RuleOperation[] = ['EQ', 'NE', 'GT', 'GTE', 'LT', 'LTE', 'IN']
const allowed: Record<Kind, readonly RuleOperation[]> = {
  text: ruleOperations,
  number: ordered,
  time: ordered,
  flag: ['EQ', 'NE']
}
const maxOperands = 1000

/** True for a name that queries take for a field of the client: no attribute can have it. */
export function isClientField(name: string): boolean {
  return Object.hasOwn(fields, name)
}

export function checkRule(draft: { property: string; operation: string; value: string }): Rule {
  const { property, value } = draft
  if (!property) throw new AppError('invalid_input', 'queryProperty is required', { field: 'queryProperty' })
  const operation = ruleOperations.find((known) => known === draft.operation)
  if (!operation) throw wrong('queryOperation', `must be one of ${ruleOperations.join(', ')}`)
  const field = isClientField(property) ? fields[property] : undefined
  const kind = field?.kind ?? 'text'
  if (!allowed[kind].includes(operation)) {
    throw wrong('queryOperation', `of ${property} must be one of ${allowed[kind].join(', ')}`)
  }
  const words = operation === 'IN' ? value.split(',').map((word) => word.trim()) : [value]
  if (words.length > maxOperands) throw wrong('queryValue', `names at most ${maxOperands} values`)
  if (words.includes('')) throw wrong('queryValue', 'must not be empty')
  const operands = words.map((word) => parse(kind, word))
  return { property, operation, operands, ...(field ? { field } : {}) }
}

function wrong(field: string, reason: string): AppError {
  return new AppError('invalid_input', `${field} ${reason}`, { field })
}

function parse(kind: Kind, word: string): Operand {
  if (kind === 'text') return word
  if (kind === 'flag') {
    if (word === 'true' || word === '1') return true
    if (word === 'false' || word === '0') return false
    throw wrong('queryValue', 'must be true or false')
  }
  const number = toNumber(word) ?? (kind === 'time' ? Date.parse(word) : Number.NaN)
  if (Number.isFinite(number)) return number
  throw wrong('queryValue', kind === 'time' ? 'must be epoch milliseconds or an ISO 8601 time' : 'must be a number')
}

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i

/** The number that a text of an attribute stands for, if it is one. */
export function toNumber(word: string): number | undefined {
  const number = decimal.test(word.trim()) ? Number(word) : Number.NaN
  return Number.isFinite(number) ? number : undefined
}

/** Whether a text holds against a rule; for the default value of an attribute, which no machine carries. */
export function holds({ operation, operands }: Rule, value: string): boolean {
  const [first = ''] = operands.map(String)
  const [a, b] = [toNumber(value), toNumber(first)]
  const [left, right] = a !== undefined && b !== undefined ? [a, b] : [value, first]
  switch (operation) {
    case 'EQ':
    case 'IN':
      return operands.includes(value)
    case 'NE':
      return value !== first
    case 'CONTAINS':
      return value.toLowerCase().includes(first.toLowerCase())
    case 'STARTS_WITH':
      return value.startsWith(first)
    case 'GT':
      return b === undefined || a !== undefined ? left > right : false
    case 'GTE':
      return b === undefined || a !== undefined ? left >= right : false
    case 'LT':
      return b === undefined || a !== undefined ? left < right : false
    case 'LTE':
      return b === undefined || a !== undefined ? left <= right : false
  }
}
