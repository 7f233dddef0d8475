import { draftsOf, integrationKey } from '../entities/entityKeys.js'
import type { EntityStore } from '../entities/entityStore.js'
import type { Registry } from './registry.js'

/** Makes sure that a tenant has the entities of the integrations themselves. */
export type Provision = (tenantId: string) => Promise<void>

const maxRemembered = 10_000

/** Nobody tells of new tenants, so the first request of each makes them; what is known to be there costs nothing. */
export function createProvision({ registry, entities }: { registry: Registry; entities: EntityStore }): Provision {
  const done = new Map<string, Promise<void>>()

  function make(tenantId: string): Promise<void> {
    const drafts = registry.all.flatMap(({ manifest }) =>
      draftsOf(integrationKey(manifest.id), manifest.entities, { tenantId, integration: manifest.id })
    )
    return entities.ensure(drafts)
  }

  return (tenantId) => {
    const known = done.get(tenantId)
    if (known) return known
    if (done.size >= maxRemembered) done.clear()
    const making = make(tenantId)
    done.set(tenantId, making)
    making.catch(() => done.delete(tenantId))
    return making
  }
}
