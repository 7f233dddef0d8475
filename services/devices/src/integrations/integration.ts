import { AppError, type Caller } from '@fleetgate/kit'
import type { DeviceStore } from '../devices/deviceStore.js'
import type { Entity } from '../entities/entity.js'
import { integrationKey } from '../entities/entityKeys.js'
import type { EntityStore } from '../entities/entityStore.js'
import type { Reach, ReachOf } from '../grants/reach.js'
import type { Integration, Manifest } from './manifest.js'
import type { Registry } from './registry.js'

export interface IntegrationView {
  manifest: Manifest
  addDeviceKey?: string | undefined
  deleteDeviceKey?: string | undefined
  deviceCount: number
  entityCount: number
}

export type Integrations = ReturnType<typeof createIntegrations>

export interface IntegrationsOptions {
  registry: Registry
  devices: Pick<DeviceStore, 'count'>
  entities: Pick<EntityStore, 'count' | 'listOf'>
  reachOf: ReachOf
}

/** Others than super admins see the integrations that a role grants. */
export function createIntegrations({ registry, devices, entities, reachOf }: IntegrationsOptions) {
  async function view({ manifest }: Integration, tenantId: string): Promise<IntegrationView> {
    const { id, addDevice, deleteDevice } = manifest
    const [deviceCount, entityCount] = await Promise.all([devices.count(tenantId, id), entities.count(tenantId, id)])
    return {
      manifest,
      addDeviceKey: addDevice && integrationKey(id, addDevice),
      deleteDeviceKey: deleteDevice && integrationKey(id, deleteDevice),
      deviceCount,
      entityCount
    }
  }

  return {
    /** Throws `not_found` where it has none. */
    picture(id: string): string {
      const { picture } = registry.find(id)?.manifest ?? {}
      if (picture === undefined) throw new AppError('not_found', 'there is no such picture')
      return picture
    },

    async search(
      wish: { isAddable?: boolean | undefined; isDeletable?: boolean | undefined },
      caller: Caller
    ): Promise<IntegrationView[]> {
      const reach = await reachOf(caller)
      const found = registry.all.filter(
        ({ manifest }) =>
          !manifest.isHidden &&
          isReached(manifest.id, reach) &&
          matches(wish.isAddable, manifest.addDevice) &&
          matches(wish.isDeletable, manifest.deleteDevice)
      )
      return Promise.all(found.map((integration) => view(integration, caller.tenantId)))
    },

    async get(id: string, caller: Caller): Promise<IntegrationView & { entities: Entity[] }> {
      const integration = registry.find(id)
      if (!integration || !isReached(id, await reachOf(caller))) {
        throw new AppError('not_found', 'there is no such integration')
      }
      const own = await entities.listOf(caller.tenantId, { integration: id })
      return { ...(await view(integration, caller.tenantId)), entities: own }
    }
  }
}

export function isReached(id: string, { all, integrations }: Reach): boolean {
  return all || integrations.includes(id)
}

function matches(wish: boolean | undefined, service: string | undefined): boolean {
  return wish === undefined || wish === (service !== undefined)
}
