import { AppError, type Caller, type CreatorsOf, type UserNames } from '@fleetgate/kit'
import type { Entity } from '../entities/entity.js'
import { checkIdentifier, deviceKey } from '../entities/entityKeys.js'
import type { EntityStore } from '../entities/entityStore.js'
import type { Reach, ReachOf } from '../grants/reach.js'
import { isReached } from '../integrations/integration.js'
import type { DeviceBlueprint, Integration } from '../integrations/manifest.js'
import type { Registry } from '../integrations/registry.js'
import type { DeviceGroups } from '../labels/deviceGroups.js'
import type { LabelStore } from '../labels/labelStore.js'
import type { OrderedPage } from '../order.js'
import type { DeviceWish } from './deviceFilter.js'
import { paramsOf } from './deviceForm.js'
import type { DeviceStore } from './deviceStore.js'
import type { DeviceOwner, Register } from './register.js'
import type { Settle } from './settle.js'

export interface Device {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  /** `{integration}.device.{identifier}` */
  key: string
  /** Unique within the integration. */
  identifier: string
  name: string
  integration: string
  /** Id of the template that it was made by. */
  template?: string | undefined
  /** Group that people have put it into. */
  groupId?: string | undefined
  /** The integration's own. */
  additionalData: Record<string, unknown>
  /** Who made it. */
  userId: string
  createdAt: number
  updatedAt: number
}

export interface DeviceView {
  device: Device
  /** Undefined where the integration is gone. */
  integrationName: string | undefined
  groupName?: string | undefined
  isDeletable: boolean
}

export interface DeviceDraft {
  name: string
  integration: string
  /** By the full keys of the form's entities. */
  params: Record<string, unknown>
  /** The group that it is put into, made where there is none. */
  groupName?: string | undefined
}

export type Devices = ReturnType<typeof createDevices>

export interface DevicesOptions {
  store: DeviceStore
  entities: Pick<EntityStore, 'listOf'>
  registry: Registry
  groups: Pick<LabelStore, 'all'>
  /** The id of the group of this name. */
  groupNamed: DeviceGroups['named']
  reachOf: ReachOf
  /** Makes the entities of a device as the device says; what fails is done later. */
  settle: Settle
  register: Register
  creatorsOf: CreatorsOf
}

/** Others than super admins see what a role grants, itself or with its integration, and what they made. */
export function createDevices(options: DevicesOptions) {
  const { store, entities, registry, groups, groupNamed, reachOf, settle, register, creatorsOf } = options
  const view = (device: Device): DeviceView => {
    const manifest = registry.find(device.integration)?.manifest
    return { device, integrationName: manifest?.name, isDeletable: !manifest || manifest.deleteDevice !== undefined }
  }

  async function inGroups(tenantId: string, views: DeviceView[]): Promise<DeviceView[]> {
    if (views.every(({ device }) => device.groupId === undefined)) return views
    const names = new Map((await groups.all(tenantId)).map(({ id, name }) => [id, name]))
    return views.map((one) => ({ ...one, groupName: names.get(one.device.groupId ?? '') }))
  }

  function findAddable(id: string, reach: Reach): Integration {
    const integration = registry.find(id)
    if (!integration || !isReached(id, reach)) {
      throw new AppError('not_found', 'there is no such integration', { field: 'integration', wireStatus: 400 })
    }
    return integration
  }

  async function refuseTaken({ tenantId, integration }: DeviceOwner, { identifier }: DeviceBlueprint): Promise<void> {
    checkIdentifier(identifier)
    const there = await store.findByKeys(tenantId, [deviceKey(integration, identifier)])
    if (there.length > 0) throw new AppError('conflict', 'there is such a device already', { field: 'identifier' })
  }

  return {
    async add({ name, integration: id, params, groupName }: DeviceDraft, caller: Caller): Promise<Device> {
      const integration = findAddable(id, await reachOf(caller))
      const { tenantId, userId } = caller
      const filled = paramsOf(integration.manifest, params)
      const blueprint = await integration.handlers.addDevice?.(name, filled, { tenantId })
      if (!blueprint) {
        throw new AppError('invalid_input', 'this integration takes no devices', { field: 'integration' })
      }
      const owner = { tenantId, userId, name, integration: id }
      if (groupName === undefined) return register(owner, blueprint)
      // Looked at before, so that a device that is there already brings no group.
      await refuseTaken(owner, blueprint)
      return register({ ...owner, groupId: await groupNamed(groupName, caller) }, blueprint)
    },

    async search(wish: Omit<DeviceWish, 'reach'>, range: OrderedPage, caller: Caller) {
      const reach = await reachOf(caller)
      const { items, total } = await store.search(caller.tenantId, { ...wish, reach }, range)
      const creators = await creatorsOf(caller.tenantId, makersOf(items))
      return { items: await inGroups(caller.tenantId, items.map(view)), total, creators }
    },

    async get(
      id: string,
      caller: Caller
    ): Promise<DeviceView & { entities: Entity[]; creators?: UserNames | undefined }> {
      const device = await store.find(caller.tenantId, id, await reachOf(caller))
      if (!device) throw noSuchDevice()
      const [found = view(device)] = await inGroups(caller.tenantId, [view(device)])
      const creators = await creatorsOf(caller.tenantId, makersOf([device]))
      return { ...found, creators, entities: await entities.listOf(caller.tenantId, { deviceId: id }) }
    },

    async rename(id: string, name: string, caller: Caller): Promise<void> {
      const device = await store.find(caller.tenantId, id, await reachOf(caller))
      if (!device || !(await store.rename(caller.tenantId, id, name))) throw noSuchDevice()
      await settle(id)
    },

    /** Ids that are not there or out of reach are passed over; one that may not be deleted stops all before any goes. */
    async remove(ids: string[], caller: Caller): Promise<void> {
      const found = await store.findMany(caller.tenantId, ids, await reachOf(caller))
      const kept = found.map(view).find(({ isDeletable }) => !isDeletable)
      if (kept) throw new AppError('invalid_state', `devices of ${kept.integrationName} cannot be deleted`)
      for (const { id } of found) {
        await store.remove(caller.tenantId, id)
        await settle(id)
      }
    }
  }
}

function noSuchDevice(): AppError {
  return new AppError('not_found', 'there is no such device')
}

/** Devices that came by themselves were made by nobody. */
function makersOf(devices: Device[]): string[] {
  return devices.map(({ userId }) => userId).filter(Boolean)
}
