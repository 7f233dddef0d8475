import type { Log } from '@fleetgate/kit'
import { deviceKey, draftsOf } from '../entities/entityKeys.js'
import type { EntityStore } from '../entities/entityStore.js'
import type { Registry } from '../integrations/registry.js'
import type { DeviceStore, Unsettled } from './deviceStore.js'

/** Lets the entities of one device follow it. Never rejects: the sweep does what could not be done now. */
export type Settle = (deviceId: string) => Promise<void>

export interface Settling {
  settle: Settle
  /** What a crash or an outage left behind, and what is left of deleted devices. */
  sweep(): Promise<void>
}

export interface SettlingOptions {
  devices: DeviceStore
  entities: Pick<EntityStore, 'ensure' | 'renameDevice' | 'listOf' | 'remove'>
  registry: Pick<Registry, 'find'>
  log: Log
  now: () => number
}

const atOnce = 100
/** Younger ones are with the request that made them. */
const graceMs = 10_000
/** Whoever read a device before it was removed is done with it by then. */
const keepRemovedMs = 60_000

/**
 * A device and its entities are many documents and there are no transactions: the device is written first, with a mark,
 * and each step after that may be done again.
 */
export function createSettling({ devices, entities, registry, log, now }: SettlingOptions): Settling {
  async function follow(unsettled: Unsettled): Promise<void> {
    const { id, tenantId, device } = unsettled
    if (unsettled.removedAt !== undefined) {
      await removeAll(tenantId, id)
      await registry.find(device.integration)?.handlers.deviceRemoved?.(device, { tenantId })
    } else {
      const { integration, identifier, name: deviceName, userId } = device
      const owner = { tenantId, integration, deviceId: id, deviceName, userId }
      await entities.ensure(draftsOf(deviceKey(integration, identifier), unsettled.blueprint, owner))
      await entities.renameDevice(tenantId, id, deviceName)
    }
    await devices.settled(unsettled, keepRemovedMs)
  }

  async function removeAll(tenantId: string, deviceId: string): Promise<void> {
    for (;;) {
      const ids = (await entities.listOf(tenantId, { deviceId })).map(({ id }) => id)
      if (ids.length === 0) return
      await entities.remove(tenantId, ids)
    }
  }

  /** True where there may be more. What fails waits behind the others. */
  async function run(before: number, id?: string): Promise<boolean> {
    const found = await devices.listUnsettled(before, atOnce, id)
    for (const unsettled of found) {
      await follow(unsettled).catch((err) => {
        log.warn({ err, deviceId: unsettled.id }, 'device not settled yet')
        return devices.postpone(unsettled)
      })
    }
    return found.length === atOnce
  }

  return {
    async settle(deviceId) {
      await run(now(), deviceId).catch((err) => log.warn({ err, deviceId }, 'device not settled'))
    },
    async sweep() {
      const before = now() - graceMs
      while (await run(before));
      await devices.purge()
    }
  }
}
