import { containsPattern } from '@fleetgate/store'
import { type Group, isQuery, ruleOf } from './group.js'
import { holds, type Rule, toNumber } from './rule.js'

/** A condition on the collection of clients, made here and used there. */
export type MemberFilter = Record<string, unknown>

/** Which clients belong to a group. `defaults` has the default values of attributes by name. */
export function memberFilter(group: Group, defaults: ReadonlyMap<string, string>): MemberFilter {
  return group.type === isQuery ? ruleFilter(ruleOf(group), defaults) : { groupIds: group.groupId }
}

/** Written once, for the database alone, so that lists, counts and targets of runs cannot differ. */
export function ruleFilter(rule: Rule, defaults: ReadonlyMap<string, string>): MemberFilter {
  // Unlike the database's own $ne in a list, NE means: the value is another one, or there is none.
  if (rule.operation === 'NE') return { $nor: [ruleFilter({ ...rule, operation: 'EQ' }, defaults)] }
  if (rule.field) return { [rule.field.path]: conditionOf(rule, rule.operands) }
  return attributeFilter(rule, defaults.get(rule.property))
}

/** What an operator assigned wins over what the machine reported, and that over the default. */
export function attributeFilter(rule: Rule, defaultValue: string | undefined): MemberFilter {
  const name = rule.property
  const match = { $elemMatch: { name, ...valueCondition(rule) } }
  const unassigned = { 'assigned.name': { $ne: name } }
  const byDefault = { ...unassigned, 'attributes.name': { $ne: name } }
  return {
    $or: [
      { assigned: match },
      { attributes: match, ...unassigned },
      ...(defaultValue !== undefined && holds(rule, defaultValue) ? [byDefault] : [])
    ]
  }
}

/** Numbers are compared as numbers where the query has one: values of attributes are text. */
function valueCondition(rule: Rule): MemberFilter {
  const isOrder = ['GT', 'GTE', 'LT', 'LTE'].includes(rule.operation)
  const number = isOrder ? toNumber(String(rule.operands[0])) : undefined
  return number === undefined ? { value: conditionOf(rule, rule.operands) } : { number: conditionOf(rule, [number]) }
}

function conditionOf({ operation }: Rule, operands: Rule['operands']): unknown {
  const [first = ''] = operands
  switch (operation) {
    case 'IN':
      return { $in: operands }
    case 'CONTAINS':
      return containsPattern(String(first))
    case 'STARTS_WITH':
      return new RegExp(`^${containsPattern(String(first)).source}`)
    case 'GT':
      return { $gt: first }
    case 'GTE':
      return { $gte: first }
    case 'LT':
      return { $lt: first }
    case 'LTE':
      return { $lte: first }
    default:
      return first
  }
}
