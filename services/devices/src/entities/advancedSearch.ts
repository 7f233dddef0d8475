import { AppError } from '@fleetgate/kit'
import { containsPattern, type QueryFilter } from '@fleetgate/store'
import type { EntityDoc } from './entityDoc.js'

export const columns = [
  'ENTITY_KEY',
  'ENTITY_NAME',
  'ENTITY_TYPE',
  'ENTITY_VALUE_TYPE',
  'ENTITY_PARENT_NAME',
  'ENTITY_TAGS',
  'DEVICE_NAME',
  'DEVICE_ID',
  'DEVICE_GROUP',
  'INTEGRATION_NAME'
] as const
export type Column = (typeof columns)[number]

export const operators = [
  'CONTAINS',
  'NOT_CONTAINS',
  'START_WITH',
  'END_WITH',
  'EQ',
  'NE',
  'ANY_EQUALS',
  'IS_EMPTY',
  'IS_NOT_EMPTY'
] as const
export type Operator = (typeof operators)[number]

export interface Condition {
  operator: Operator
  values: string[]
}

type Filter = QueryFilter<EntityDoc>

/** Things that entities name by an id, with the names that people search by. */
export interface Lookups {
  /** Id and name of each tag of the tenant. */
  tags(): Promise<Named[]>
  integrations(): Named[]
  groups(): Promise<Named[]>
  /** Ids of the devices in these groups. */
  devicesIn(groupIds: string[]): Promise<string[]>
  /** Keys of the entities whose names fit, and that may have children. */
  parentsNamed(filter: Filter): Promise<string[]>
}

export interface Named {
  id: string
  name: string
}

const fields: Partial<Record<Column, string>> = {
  ENTITY_KEY: 'key',
  ENTITY_NAME: 'name',
  ENTITY_TYPE: 'type',
  ENTITY_VALUE_TYPE: 'valueType',
  DEVICE_NAME: 'deviceName',
  DEVICE_ID: 'deviceId'
}

/** Every column holds; of several values of one any does. Throws `invalid_input` where values are missing. */
export async function advancedFilter(wish: Partial<Record<Column, Condition>>, lookups: Lookups): Promise<Filter[]> {
  const filters = Object.entries(wish).map(([column, condition]) => {
    checkValues(column, condition)
    return columnFilter(column as Column, condition, lookups)
  })
  return Promise.all(filters)
}

function checkValues(column: string, { operator, values }: Condition): void {
  const field = `entity_filter.${column}.values`
  if (!isAboutEmptiness(operator) && values.length === 0) {
    throw new AppError('invalid_input', `${field} is empty`, { field })
  }
}

async function columnFilter(column: Column, condition: Condition, lookups: Lookups): Promise<Filter> {
  const field = fields[column]
  if (field !== undefined) return textFilter(field, condition)
  if (column === 'ENTITY_TAGS') return linkFilter('tagIds', condition, idsAmong(await lookups.tags(), condition))
  if (column === 'INTEGRATION_NAME') {
    return linkFilter('integration', condition, idsAmong(lookups.integrations(), condition))
  }
  if (column === 'DEVICE_GROUP') {
    const groups = await lookups.groups()
    const isAny = isAboutEmptiness(condition.operator)
    const ids = await lookups.devicesIn(isAny ? groups.map(({ id }) => id) : idsAmong(groups, condition))
    // Which group a device is in stands in the device.
    const isIn = isAny ? condition.operator === 'IS_NOT_EMPTY' : !isNegative(condition.operator)
    return { deviceId: isIn ? { $in: ids } : { $nin: ids } } as Filter
  }
  if (isAboutEmptiness(condition.operator)) return textFilter('parentKey', condition)
  const keys = await lookups.parentsNamed(textFilter('name', positive(condition)))
  return linkFilter('parentKey', condition, keys)
}

/** A field that holds ids: one of those, or none of them. */
function linkFilter(field: string, { operator }: Condition, ids: string[]): Filter {
  if (operator === 'IS_EMPTY') return { [field]: { $in: [null, []] } } as Filter
  if (operator === 'IS_NOT_EMPTY') return { [field]: { $nin: [null, []] } } as Filter
  return { [field]: isNegative(operator) ? { $nin: ids } : { $in: ids } } as Filter
}

function textFilter(field: string, { operator, values }: Condition): Filter {
  const patterns = (make: (source: string) => RegExp) =>
    values.map((value) => ({ [field]: make(containsPattern(value).source) }))
  switch (operator) {
    case 'CONTAINS':
      return { $or: patterns((source) => new RegExp(source, 'i')) } as Filter
    case 'NOT_CONTAINS':
      return { $nor: patterns((source) => new RegExp(source, 'i')) } as Filter
    case 'START_WITH':
      return { $or: patterns((source) => new RegExp(`^${source}`, 'i')) } as Filter
    case 'END_WITH':
      return { $or: patterns((source) => new RegExp(`${source}$`, 'i')) } as Filter
    case 'NE':
      return { [field]: { $nin: values } } as Filter
    case 'IS_EMPTY':
      return { [field]: { $in: [null, ''] } } as Filter
    case 'IS_NOT_EMPTY':
      return { [field]: { $nin: [null, ''] } } as Filter
    default:
      return { [field]: { $in: values } } as Filter
  }
}

/** Ids of those whose name, or id, fits the condition without its "not". */
function idsAmong(all: Named[], condition: Condition): string[] {
  const { operator, values } = positive(condition)
  const wanted = values.map((value) => value.toLowerCase())
  const fits = (name: string) =>
    wanted.some((value) => {
      if (operator === 'CONTAINS') return name.includes(value)
      if (operator === 'START_WITH') return name.startsWith(value)
      return operator === 'END_WITH' ? name.endsWith(value) : name === value
    })
  return all.filter(({ id, name }) => fits(name.toLowerCase()) || values.includes(id)).map(({ id }) => id)
}

function positive({ operator, values }: Condition): Condition {
  if (operator === 'NOT_CONTAINS') return { operator: 'CONTAINS', values }
  return operator === 'NE' ? { operator: 'EQ', values } : { operator, values }
}

function isNegative(operator: Operator): boolean {
  return operator === 'NOT_CONTAINS' || operator === 'NE'
}

function isAboutEmptiness(operator: Operator): boolean {
  return operator === 'IS_EMPTY' || operator === 'IS_NOT_EMPTY'
}
