import { containsPattern, type QueryFilter } from '@fleetgate/store'
import type { WorkflowDoc } from './workflowDoc.js'

export interface WorkflowWish {
  tenantId: string
  /** All where it is not given. */
  ids?: string[] | undefined
  exceptIds?: string[] | undefined
  parentIds?: string[] | undefined
  keyword?: string | undefined
  enabled?: boolean | undefined
}

export function filterOf({
  tenantId,
  ids,
  parentIds,
  exceptIds = [],
  keyword,
  enabled
}: WorkflowWish): QueryFilter<WorkflowDoc> {
  // Nothing stands above a workflow: with parents alone there is none.
  const among = ids || parentIds ? { $in: ids ?? [] } : {}
  return {
    tenantId,
    _id: { ...among, $nin: exceptIds },
    ...(keyword ? { name: containsPattern(keyword) } : {}),
    ...(enabled === undefined ? {} : { enabled })
  }
}
