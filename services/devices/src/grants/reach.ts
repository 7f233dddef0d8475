import type { Caller, ResourceType } from '@fleetgate/kit'
import type { Grants } from './grants.js'

/**
 * Which devices, entities and integrations a caller may see: an integration with its devices and their entities, a device
 * with its entities, an entity alone, and what the caller made. Services that start workflows go with these.
 */
export interface Reach {
  all: boolean
  userId: string
  integrations: readonly string[]
  devices: readonly string[]
  entities: readonly string[]
  workflows: readonly string[]
}

export type ReachOf = (caller: Caller) => Promise<Reach>

export interface ReachOptions {
  grants: Pick<Grants, 'scopeOf'>
  /** Every operation asks for the reach of its caller, so here a tenant gets what each tenant has. */
  provision: (tenantId: string) => Promise<void>
}

/** Answers from what is known of the caller's grants; throws `unavailable` where nothing is known and auth is silent. */
export function createReachOf({ grants, provision }: ReachOptions): ReachOf {
  return async (caller) => {
    await provision(caller.tenantId)
    const { userId } = caller
    const of = (type: ResourceType) => grants.scopeOf(caller, type)
    const scopes = await Promise.all([of('INTEGRATION'), of('DEVICE'), of('ENTITY'), of('WORKFLOW')])
    const [integrations, devices, entities, workflows] = scopes
    if (integrations.all) return { ...wholeReach, userId }
    return {
      all: false,
      userId,
      integrations: [...integrations.ids],
      devices: [...devices.ids],
      entities: [...entities.ids],
      workflows: [...workflows.ids]
    }
  }
}

/** What the service itself does, for nobody in particular. */
export const wholeReach: Reach = {
  all: true,
  userId: '',
  integrations: [],
  devices: [],
  entities: [],
  workflows: []
}
