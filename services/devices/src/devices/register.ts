import { AppError, newNumericId } from '@fleetgate/kit'
import { checkIdentifier, deviceKey, type EntityTemplate } from '../entities/entityKeys.js'
import type { DeviceBlueprint } from '../integrations/manifest.js'
import { blueprintOf } from '../templates/blueprint.js'
import type { TemplateStore } from '../templates/templateStore.js'
import type { Device } from './device.js'
import type { DeviceStore } from './deviceStore.js'
import type { Settle } from './settle.js'

export type DeviceOwner = Pick<Device, 'tenantId' | 'userId' | 'name' | 'integration' | 'groupId'>

/** Makes a device with its entities; `conflict` where the integration has one of this identifier, `invalid_input` where no key may have it. */
export type Register = (owner: DeviceOwner, blueprint: DeviceBlueprint) => Promise<Device>

export interface RegisterOptions {
  store: Pick<DeviceStore, 'insert' | 'reblueprint' | 'remove'>
  templates: Pick<TemplateStore, 'find'>
  /** Makes the entities of a device as the device says; what fails is done later. */
  settle: Settle
  now: () => number
}

export function createRegister({ store, templates, settle, now }: RegisterOptions): Register {
  /** A template that was replaced or deleted meanwhile may have looked at its devices before this one was among them. */
  async function follow({ id, tenantId, identifier, template }: Device, made: EntityTemplate[]): Promise<void> {
    if (template === undefined) return
    const current = await templates.find(tenantId, template)
    if (!current) {
      await store.remove(tenantId, id)
      await settle(id)
      throw new AppError('invalid_state', 'the template of the device was deleted meanwhile')
    }
    const { entities } = blueprintOf(current, identifier)
    if (JSON.stringify(entities) !== JSON.stringify(made)) await store.reblueprint(tenantId, current.id, entities, id)
  }

  return async (owner, { identifier, template, additionalData = {}, entities }) => {
    checkIdentifier(identifier)
    const key = deviceKey(owner.integration, identifier)
    const own = { id: newNumericId(now()), identifier, key, template, additionalData }
    const device = { ...owner, ...own, createdAt: now(), updatedAt: now() }
    await store.insert(device, entities)
    await follow(device, entities)
    await settle(device.id)
    return device
  }
}
