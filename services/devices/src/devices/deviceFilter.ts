import { containsPattern, type QueryFilter } from '@fleetgate/store'
import type { Reach } from '../grants/reach.js'
import type { DeviceDoc } from './deviceDoc.js'

type Filter = QueryFilter<DeviceDoc>

export interface DeviceWish {
  reach: Reach
  /** Part of the name. */
  name?: string | undefined
  identifier?: string | undefined
  ids?: string[] | undefined
  integrations?: string[] | undefined
  groupIds?: string[] | undefined
  /** Those in no group. */
  withoutGroup?: boolean | undefined
  /** Id of a template. */
  template?: string | undefined
}

/** For other services: those in `ids` or below `parentIds`, but those in `exceptIds` or below `exceptParentIds`. */
export interface DeviceSelection {
  ids?: string[] | undefined
  parentIds?: string[] | undefined
  exceptIds?: string[] | undefined
  exceptParentIds?: string[] | undefined
  keyword?: string | undefined
  keywordIntegrations?: string[] | undefined
}

export function reachFilter({ all, userId, integrations, devices }: Reach): Filter {
  if (all) return {}
  return { $or: [{ integration: { $in: [...integrations] } }, { _id: { $in: [...devices] } }, { userId }] }
}

export function wishFilter(tenantId: string, wish: DeviceWish): Filter {
  const { reach, name, identifier, ids, integrations, groupIds, template } = wish
  const among = {
    ...(name ? { name: containsPattern(name) } : {}),
    ...(identifier ? { identifier: containsPattern(identifier) } : {}),
    ...(ids ? { _id: { $in: ids } } : {}),
    ...(integrations ? { integration: { $in: integrations } } : {}),
    ...(groupIds ? { groupId: { $in: groupIds } } : {}),
    ...(template ? { template } : {})
  }
  const isAlone: Filter[] = wish.withoutGroup ? [{ groupId: null }] : []
  return { $and: [{ tenantId, ...among }, reachFilter(reach), ...isAlone] } as Filter
}

export function selectionFilter(tenantId: string, selection: DeviceSelection): Filter {
  const { ids, parentIds, exceptIds = [], exceptParentIds = [], keyword, keywordIntegrations = [] } = selection
  const isAmong: Filter[] =
    ids || parentIds ? [{ $or: [{ _id: { $in: ids ?? [] } }, { integration: { $in: parentIds ?? [] } }] }] : []
  const isNamed: Filter[] = keyword
    ? [{ $or: [{ name: containsPattern(keyword) }, { integration: { $in: keywordIntegrations } }] }]
    : []
  const isNone = { _id: { $nin: exceptIds }, integration: { $nin: exceptParentIds } }
  return { $and: [{ tenantId, ...isNone }, ...isAmong, ...isNamed] }
}
