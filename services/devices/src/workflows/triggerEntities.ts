import { compile } from '@fleetgate/kit'
import { draftsOf, integrationKey, systemIntegration } from '../entities/entityKeys.js'
import type { EntityStore } from '../entities/entityStore.js'
import { wholeReach } from '../grants/reach.js'
import type { Plan } from './design.js'
import { Trigger } from './nodes/entries.js'
import { problemOf } from './nodes/index.js'
import type { Workflow } from './workflowDoc.js'

const check = compile(Trigger)

export type TriggerEntities = ReturnType<typeof createTriggerEntities>

/** A workflow that begins with a trigger is a service among the entities: `system.integration.<workflow>`. */
export function createTriggerEntities(entities: EntityStore, clean: () => Promise<void>) {
  async function of(tenantId: string, id: string) {
    const key = integrationKey(systemIntegration, id)
    const parents = await entities.findByKeys(tenantId, [key], wholeReach)
    return [...parents, ...(await entities.childrenOf(tenantId, [key], wholeReach))]
  }

  async function remove(tenantId: string, ids: string[]): Promise<void> {
    if (ids.length === 0) return
    await entities.remove(tenantId, ids)
    void clean()
  }

  return {
    /** Makes what is missing and takes away what the design no longer has. */
    async ensure(
      { id, tenantId, userId, name }: Pick<Workflow, 'id' | 'tenantId' | 'userId' | 'name'>,
      { entry }: Plan
    ) {
      const isTrigger = entry.component === 'trigger' && problemOf('trigger', entry.parameters) === undefined
      const { entityConfigs = [] } = isTrigger ? check(entry.parameters) : {}
      const children = entityConfigs.map(({ identify, name: label, type, required }) => ({
        identifier: identify,
        name: label || identify,
        valueType: type,
        attribute: required === true ? {} : { optional: true }
      }))
      const template = { identifier: id, name, type: 'SERVICE' as const, valueType: 'OBJECT' as const, children }
      const owner = { tenantId, userId, integration: systemIntegration }
      const drafts = isTrigger ? draftsOf(integrationKey(systemIntegration), [template], owner) : []
      const wanted = new Map(drafts.map((draft) => [draft.key, draft]))
      const existing = await of(tenantId, id)
      const isOld = ({ key, valueType }: (typeof existing)[number]) => wanted.get(key)?.valueType !== valueType
      await remove(
        tenantId,
        existing.filter(isOld).map((entity) => entity.id)
      )
      await entities.ensure(drafts)
      for (const entity of existing) {
        const draft = wanted.get(entity.key)
        if (draft && !isOld(entity)) await entities.update(tenantId, entity.id, draft)
      }
    },

    async remove(tenantId: string, id: string): Promise<void> {
      await remove(
        tenantId,
        (await of(tenantId, id)).map((entity) => entity.id)
      )
    }
  }
}
