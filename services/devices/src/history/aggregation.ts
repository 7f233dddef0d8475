import { AppError } from '@fleetgate/kit'
import type { PipelineStage } from '@fleetgate/store'
import { fromBson, type StoredValue, type ValueType } from '../entities/storedValue.js'

export const aggregateTypes = ['LAST', 'MIN', 'MAX', 'AVG', 'SUM', 'COUNT'] as const
export type AggregateType = (typeof aggregateTypes)[number]

/** What the database answers for a group: `value` as it is stored, or a Decimal128. */
export interface Aggregated {
  _id: unknown
  value?: unknown
  count: number
}

/** Different values that a COUNT names at most, the most frequent ones. */
const maxCounted = 1000
/** Decimals of an average, the last one rounded half to even. */
const decimals = 8

const isComputed = (type: AggregateType) => type === 'SUM' || type === 'AVG'

/** Refuses what cannot be computed of this type of value. */
export function checkAggregate(type: AggregateType, valueType: ValueType): void {
  if (isComputed(type) && valueType !== 'LONG' && valueType !== 'DOUBLE') {
    const field = 'aggregate_type'
    throw new AppError('invalid_input', `${field} ${type} is for LONG and DOUBLE, not for ${valueType}`, { field })
  }
}

/** Over everything at once; of COUNT one row per value. */
export function wholeStages(type: AggregateType): PipelineStage[] {
  if (type === 'COUNT') {
    return [{ $group: { _id: '$value', count: { $sum: 1 } } }, { $sort: { count: -1, _id: 1 } }, { $limit: maxCounted }]
  }
  if (type === 'LAST') return [...newestFirst, { $limit: 1 }, { $project: { value: 1, count: { $literal: 1 } } }]
  return groupStages(type, null)
}

/** One row per bucket of `size` ms with something in it, oldest first; buckets begin at multiples of their size. */
export function bucketStages(type: AggregateType, size: number): PipelineStage[] {
  const start = { $subtract: ['$at', { $mod: ['$at', size] }] }
  return [...(type === 'LAST' ? newestFirst : []), ...groupStages(type, start), { $sort: { _id: 1 } }]
}

const newestFirst: PipelineStage[] = [{ $sort: { at: -1 } }]

function groupStages(type: AggregateType, by: unknown): PipelineStage[] {
  const group: PipelineStage = { $group: { _id: by, count: { $sum: 1 }, ...accumulate(type) } }
  return type === 'AVG' ? [group, { $set: { value: { $round: ['$value', decimals] } } }] : [group]
}

/** Sums in decimals: 0.1 and 0.2 are 0.3, and many LONGs are more than 64 bits. */
function accumulate(type: AggregateType): Record<string, { [operator: string]: unknown }> {
  const decimal = { $toDecimal: '$value' }
  switch (type) {
    case 'LAST':
      return { value: { $first: '$value' } }
    case 'MIN':
      return { value: { $min: '$value' } }
    case 'MAX':
      return { value: { $max: '$value' } }
    case 'SUM':
      return { value: { $sum: decimal } }
    case 'AVG':
      return { value: { $avg: decimal } }
    default:
      return {}
  }
}

/** Of LONG a decimal in words, even the average, and of DOUBLE what no number holds; nothing where nothing was computed. */
export function computedOf(type: AggregateType, valueType: ValueType, { value }: Aggregated): StoredValue | undefined {
  if (value === undefined || value === null) return undefined
  if (!isComputed(type)) return fromBson(valueType, value)
  const text = String(value)
  return valueType === 'DOUBLE' && Number.isFinite(Number(text)) ? Number(text) : plain(text)
}

/** Without the zeros at the end of its digits. */
function plain(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+(?=E|$)/, '') : decimal
}
