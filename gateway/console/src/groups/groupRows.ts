/** A row of `/v1/groups`; the counts are those of `…/allInfo`. */
export interface GroupRow {
  groupId: number
  groupName: string
  /** 0 chosen members, 1 those that the query finds. */
  type: number
  enabled: boolean
  queryProperty: string
  queryOperation: string
  queryValue: string
  clients: number
  jobs: number
}

export function ruleOf({ type, queryProperty, queryOperation, queryValue }: GroupRow): string {
  return type === 0 ? 'chosen by hand' : `${queryProperty} ${queryOperation} ${queryValue}`
}
