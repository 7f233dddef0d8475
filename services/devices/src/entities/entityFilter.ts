import { containsPattern, type QueryFilter } from '@fleetgate/store'
import type { Reach } from '../grants/reach.js'
import type { AccessMod, EntityType } from './entity.js'
import type { EntityDoc } from './entityDoc.js'
import { integrationKey, systemIntegration } from './entityKeys.js'
import type { ValueType } from './storedValue.js'

/** What a search asks for; what is not given does not narrow. */
export interface EntityWish {
  reach: Reach
  /** Part of the name, the key, or the name of the device or integration. */
  keyword?: string | undefined
  /** Integrations whose names hold the keyword: their names are in the code, not in the store. */
  keywordIntegrations?: string[] | undefined
  /** Part of the name of the device or integration. */
  sourceName?: string | undefined
  sourceIntegrations?: string[] | undefined
  ids?: string[] | undefined
  keys?: string[] | undefined
  names?: string[] | undefined
  types?: EntityType[] | undefined
  valueTypes?: ValueType[] | undefined
  accessMods?: AccessMod[] | undefined
  withoutChildren?: boolean | undefined
  isCustomized?: boolean | undefined
  /** Without those that people made themselves; the services of workflows stay. */
  withoutOwn?: boolean | undefined
  withHidden?: boolean | undefined
  /** Conditions beside the others. */
  further?: QueryFilter<EntityDoc>[] | undefined
}

type Filter = QueryFilter<EntityDoc>

/**
 * What is not inside is as if it did not exist. People's own entities are everybody's. The other ones of `system` start
 * workflows: they go with those, whoever made them.
 */
export function reachFilter({ all, userId, integrations, devices, entities, workflows }: Reach): Filter {
  if (all) return {}
  const triggers = workflows.map((id) => integrationKey(systemIntegration, id))
  return {
    $or: [
      { integration: systemIntegration, isCustom: true },
      { integration: systemIntegration, key: { $in: triggers } },
      { integration: systemIntegration, parentKey: { $in: triggers } },
      { integration: { $in: [...integrations] } },
      { deviceId: { $in: [...devices] } },
      { _id: { $in: [...entities] } },
      { integration: { $ne: systemIntegration }, userId }
    ]
  }
}

export function filterOf(tenantId: string, wish: EntityWish): Filter {
  const { reach, ids, keys, names, types, valueTypes, accessMods, isCustomized } = wish
  const among = {
    ...(ids ? { _id: { $in: ids } } : {}),
    ...(keys ? { key: { $in: keys } } : {}),
    ...(names ? { name: { $in: names } } : {}),
    ...(types ? { type: { $in: types } } : {}),
    ...(valueTypes ? { valueType: { $in: valueTypes } } : {}),
    ...(accessMods ? { accessMod: { $in: accessMods } } : {}),
    ...(wish.withoutChildren ? { parentKey: { $exists: false } } : {}),
    ...(isCustomized === undefined
      ? {}
      : { integration: isCustomized ? systemIntegration : { $ne: systemIntegration } }),
    ...(wish.withoutOwn ? { isCustom: false } : {}),
    ...(wish.withHidden ? {} : { isVisible: true })
  }
  return {
    $and: [{ tenantId, ...among }, reachFilter(reach), keywordFilter(wish), sourceFilter(wish), ...(wish.further ?? [])]
  }
}

function keywordFilter({ keyword, keywordIntegrations = [] }: EntityWish): Filter {
  if (!keyword) return {}
  const pattern = containsPattern(keyword)
  return { $or: [{ name: pattern }, { key: pattern }, ...fromSource(keyword, keywordIntegrations)] }
}

function sourceFilter({ sourceName, sourceIntegrations = [] }: EntityWish): Filter {
  return sourceName ? { $or: fromSource(sourceName, sourceIntegrations) } : {}
}

function fromSource(name: string, integrations: string[]): Filter[] {
  return [{ deviceName: containsPattern(name) }, { integration: { $in: integrations } }]
}

/** For other services: those in `ids` or below the devices or integrations of `parentIds`, without the excepted ones. */
export interface EntitySelection {
  ids?: string[] | undefined
  parentIds?: string[] | undefined
  exceptIds?: string[] | undefined
  exceptParentIds?: string[] | undefined
  keyword?: string | undefined
}

export function selectionFilter(tenantId: string, selection: EntitySelection): Filter {
  const { ids, parentIds, exceptIds = [], exceptParentIds = [], keyword } = selection
  const below = (above: string[]) => [{ deviceId: { $in: above } }, { integration: { $in: above } }]
  const isAmong: Filter[] = ids || parentIds ? [{ $or: [{ _id: { $in: ids ?? [] } }, ...below(parentIds ?? [])] }] : []
  const isNamed: Filter[] = keyword
    ? [{ $or: [{ name: containsPattern(keyword) }, { deviceName: containsPattern(keyword) }] }]
    : []
  return { $and: [{ tenantId, _id: { $nin: exceptIds }, $nor: below(exceptParentIds) }, ...isAmong, ...isNamed] }
}
