import { newNumericId } from '@fleetgate/kit'
import { checkIdentifier, deviceKey } from '../entities/entityKeys.js'
import type { DeviceBlueprint } from '../integrations/manifest.js'
import type { Device } from './device.js'
import type { DeviceStore } from './deviceStore.js'
import type { Settle } from './settle.js'

export type DeviceOwner = Pick<Device, 'tenantId' | 'userId' | 'name' | 'integration'>

/** Makes a device with its entities; `conflict` where the integration has one of this identifier, `invalid_input` where no key may have it. */
export type Register = (owner: DeviceOwner, blueprint: DeviceBlueprint) => Promise<Device>

export interface RegisterOptions {
  store: Pick<DeviceStore, 'insert'>
  /** Makes the entities of a device as the device says; what fails is done later. */
  settle: Settle
  now: () => number
}

export function createRegister({ store, settle, now }: RegisterOptions): Register {
  return async (owner, { identifier, template, additionalData = {}, entities }) => {
    checkIdentifier(identifier)
    const key = deviceKey(owner.integration, identifier)
    const own = { id: newNumericId(now()), identifier, key, template, additionalData }
    const device = { ...owner, ...own, createdAt: now(), updatedAt: now() }
    await store.insert(device, entities)
    await settle(device.id)
    return device
  }
}
