import { AppError, type Caller, may } from '@fleetgate/kit'
import type { DeviceStore } from '../devices/deviceStore.js'
import type { Reach, ReachOf } from '../grants/reach.js'
import { integrationsNamed, type Registry } from '../integrations/registry.js'
import type { Label, LabelStore } from '../labels/labelStore.js'
import type { OrderedPage } from '../order.js'
import { advancedFilter, type Column, type Condition, type Lookups } from './advancedSearch.js'
import { checkAttribute } from './attributeRules.js'
import type { AccessMod, Attribute, Entity, EntityType } from './entity.js'
import type { EntityWish } from './entityFilter.js'
import { draftsOf, integrationKey, systemIntegration, workflowOf } from './entityKeys.js'
import type { EntityStore } from './entityStore.js'
import type { ValueType } from './storedValue.js'

export interface EntityView {
  entity: Entity
  integrationName?: string | undefined
  parentName?: string | undefined
  tags: Label[]
}

export interface CustomDraft {
  identifier: string
  name: string
  type: EntityType
  accessMod?: AccessMod | undefined
  valueType: ValueType
  attribute: Attribute
  isVisible: boolean
  /** Of a custom entity that holds others. */
  parentIdentifier?: string | undefined
}

export type Search = Omit<EntityWish, 'reach' | 'keywordIntegrations' | 'sourceIntegrations' | 'withoutOwn'>

/** So many devices or parents a condition may lead to. */
const maxLookedUp = 10_000

export type Entities = ReturnType<typeof createEntities>

export interface EntitiesOptions {
  store: EntityStore
  registry: Registry
  reachOf: ReachOf
  tags: Pick<LabelStore, 'all'>
  groups: Pick<LabelStore, 'all'>
  devices: Pick<DeviceStore, 'idsIn'>
  /** Deletes those of the workflows that the caller may see, with their services. */
  removeWorkflows: (ids: string[], caller: Caller) => Promise<void>
  /** Takes away what removed entities leave behind; never rejects. */
  clean: () => Promise<void>
}

/** Others than super admins see what a role grants, itself or with its device or integration, and what they made. */
export function createEntities(options: EntitiesOptions) {
  const { store, registry, reachOf, tags, groups, devices, removeWorkflows, clean } = options

  async function viewsOf(tenantId: string, found: Entity[], reach: Reach): Promise<EntityView[]> {
    const keys = [...new Set(found.flatMap(({ parentKey }) => parentKey ?? []))]
    const parents = keys.length > 0 ? await store.findByKeys(tenantId, keys, reach) : []
    const names = new Map(parents.map(({ key, name }) => [key, name]))
    const isTagged = found.some(({ tagIds }) => tagIds.length > 0)
    const known = new Map((isTagged ? await tags.all(tenantId) : []).map((tag) => [tag.id, tag]))
    return found.map((entity) => ({
      entity,
      tags: entity.tagIds.flatMap((id) => known.get(id) ?? []),
      integrationName: registry.find(entity.integration)?.manifest.name,
      parentName: names.get(entity.parentKey ?? '')
    }))
  }

  async function find(id: string, caller: Caller): Promise<Entity> {
    const entity = await store.find(caller.tenantId, id, await reachOf(caller))
    if (!entity) throw noSuchEntity()
    return entity
  }

  async function parentOf({ parentIdentifier, type }: CustomDraft, tenantId: string, reach: Reach): Promise<Entity> {
    const field = 'parent_identifier'
    const key = integrationKey(systemIntegration, parentIdentifier ?? '')
    const [parent] = await store.findByKeys(tenantId, [key], reach)
    if (!parent) throw new AppError('invalid_input', `${field} names no entity`, { field })
    if (parent.valueType !== 'OBJECT' || parent.type !== type || parent.parentKey) {
      throw new AppError('invalid_input', `${field} must name an OBJECT of the same type without a parent`, { field })
    }
    return parent
  }

  async function search(wish: Search, range: OrderedPage, caller: Caller) {
    const { tenantId } = caller
    const reach = await reachOf(caller)
    const withoutOwn = !may(caller, 'entity_custom.view')
    const keywordIntegrations = integrationsNamed(registry, wish.keyword)
    const sourceIntegrations = integrationsNamed(registry, wish.sourceName)
    const of = { ...wish, withoutOwn, reach, keywordIntegrations, sourceIntegrations }
    let { offset } = range
    let found = await store.search(tenantId, of, range)
    // Behind the end the real system begins anew.
    if (found.items.length === 0 && found.total > 0) {
      offset = 0
      found = await store.search(tenantId, of, { ...range, offset })
    }
    return { items: await viewsOf(tenantId, found.items, reach), total: found.total, offset }
  }

  /** What conditions name is looked up in the tenant; which entities they find is bounded by the caller's reach. */
  function lookupsOf({ tenantId }: Caller): Lookups {
    return {
      tags: () => tags.all(tenantId),
      groups: () => groups.all(tenantId),
      integrations: () => registry.all.map(({ manifest }) => ({ id: manifest.id, name: manifest.name })),
      devicesIn: async (groupIds) => bounded(await devices.idsIn(tenantId, groupIds, maxLookedUp + 1), 'devices'),
      parentsNamed: async (filter) => bounded(await store.parentKeysWhere(tenantId, filter, maxLookedUp + 1), 'parents')
    }
  }

  return {
    search,

    async advancedSearch(wish: Partial<Record<Column, Condition>>, range: OrderedPage, caller: Caller) {
      return search({ further: await advancedFilter(wish, lookupsOf(caller)) }, range, caller)
    },

    async children(id: string, caller: Caller): Promise<EntityView[]> {
      const parent = await find(id, caller)
      const reach = await reachOf(caller)
      return viewsOf(caller.tenantId, await store.childrenOf(caller.tenantId, [parent.key], reach), reach)
    },

    get: find,

    async add(draft: CustomDraft, caller: Caller): Promise<Entity> {
      checkAttribute(draft.attribute)
      const { tenantId, userId } = caller
      const reach = await reachOf(caller)
      const parent = draft.parentIdentifier ? await parentOf(draft, tenantId, reach) : undefined
      const prefix = parent?.key ?? integrationKey(systemIntegration)
      const owner = { tenantId, userId, integration: systemIntegration }
      const { parentIdentifier, ...template } = draft
      const [made] = draftsOf(prefix, [withoutUndefined(template)], owner)
      if (!made) throw new AppError('internal', 'an entity became none')
      return store.insert({ ...made, isCustom: true, parentKey: parent?.key })
    },

    /** What an entity is decides its integration; only of custom ones may the attribute change. */
    async update(id: string, change: { name: string; attribute?: Attribute | undefined }, caller: Caller) {
      const { name, attribute } = change
      const entity = await find(id, caller)
      if (attribute && !entity.isCustom) {
        const field = 'value_attribute'
        throw new AppError('invalid_input', `${field} of an integration's entity cannot be changed`, { field })
      }
      if (attribute) checkAttribute(attribute)
      await store.update(caller.tenantId, id, attribute ? { name, attribute } : { name })
      return find(id, caller)
    },

    /** Custom ones with their children, and services of workflows with those; all others are passed over. */
    async remove(ids: string[], caller: Caller): Promise<void> {
      const { tenantId } = caller
      const reach = await reachOf(caller)
      const named = await store.findByIds(tenantId, ids, reach)
      const workflows = named.flatMap((entity) => workflowOf(entity) ?? [])
      if (workflows.length > 0) {
        const code = 'workflow.delete'
        if (!may(caller, code)) throw new AppError('forbidden', `a workflow goes with its service: needs ${code}`)
        await removeWorkflows(workflows, caller)
      }
      const found = named.filter(({ isCustom }) => isCustom)
      const keys = found.map(({ key }) => key)
      const children = keys.length > 0 ? await store.childrenOf(tenantId, keys, reach) : []
      await store.remove(tenantId, [...new Set([...children, ...found].map(({ id }) => id))])
      void clean()
    }
  }
}

/** An answer from a part of what was found would be a wrong one. */
function bounded(found: string[], what: string): string[] {
  if (found.length <= maxLookedUp) return found
  const reason = `leads to more than ${maxLookedUp} ${what}: ask for fewer`
  throw new AppError('invalid_input', `entity_filter ${reason}`, { field: 'entity_filter' })
}

function withoutUndefined({ accessMod, ...template }: Omit<CustomDraft, 'parentIdentifier'>) {
  return accessMod ? { ...template, accessMod } : template
}

function noSuchEntity(): AppError {
  return new AppError('not_found', 'there is no such entity')
}
