import { AppError } from '@fleetgate/kit'
import { checkRule, type Rule } from './rule.js'

/** The numbers of the document: members chosen one by one, or by a query. */
export const groupTypes = ['static', 'query'] as const
export const isQuery = 1

export interface Group {
  _id: string
  tenantId: string
  groupId: number
  groupName: string
  type: number
  description: string
  /** A disabled group brings no machines to its jobs. */
  enabled: boolean
  queryProperty: string
  queryOperation: string
  queryValue: string
  createdAt: number
  lastEditedAt: number
  /** When it was last bound to or taken from a job. */
  assignmentsChangedAt?: number
  /** When a member was last bound or taken out, or the query was changed. */
  membershipChangedAt?: number
}

export type GroupDraft = Pick<
  Group,
  'groupName' | 'type' | 'description' | 'enabled' | 'queryProperty' | 'queryOperation' | 'queryValue'
>

export const maxQueryGroups = 1000

export function ruleOf({ queryProperty, queryOperation, queryValue }: GroupDraft): Rule {
  return checkRule({ property: queryProperty, operation: queryOperation, value: queryValue })
}

/** A query that could never be asked is refused when it is written. */
export function checkGroup(draft: GroupDraft): void {
  if (draft.type === isQuery) ruleOf(draft)
}

export function refuseOtherType(group: Group, type: number | undefined): void {
  if (type === undefined || type === group.type) return
  throw new AppError('invalid_state', 'the type of a group cannot be changed: create another group', { field: 'type' })
}

export function refuseQueryGroup(group: Group): void {
  if (group.type !== isQuery) return
  throw new AppError('invalid_state', `the members of group ${group.groupId} are chosen by its query`)
}
