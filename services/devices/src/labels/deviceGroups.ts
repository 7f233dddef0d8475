import type { Caller } from '@fleetgate/kit'
import type { DeviceStore } from '../devices/deviceStore.js'
import type { ReachOf } from '../grants/reach.js'
import type { LabelStore } from './labelStore.js'
import { createLabels } from './labels.js'

export interface DeviceGroupsOptions {
  store: LabelStore
  devices: Pick<DeviceStore, 'countByGroup' | 'moveToGroup' | 'leaveGroups'>
  reachOf: ReachOf
  now: () => number
}

export type DeviceGroups = ReturnType<typeof createDeviceGroups>

/** Of the real system. */
const maxGroups = 50

/** A device is in one group at most. */
export function createDeviceGroups({ store, devices, reachOf, now }: DeviceGroupsOptions) {
  const labels = createLabels({
    store,
    what: 'device group',
    max: maxGroups,
    counts: async (ids, caller) => devices.countByGroup(caller.tenantId, ids, await reachOf(caller)),
    takeOff: devices.leaveGroups,
    now
  })
  return {
    ...labels,

    /** The id of the group of this name, which is made where there is none. */
    async named(name: string, caller: Caller): Promise<string> {
      const found = await store.findNamed(caller.tenantId, name)
      if (found) return found.id
      try {
        return await labels.add({ name, description: '', color: '' }, caller)
      } catch (error) {
        // Another request may have been faster.
        const made = await store.findNamed(caller.tenantId, name)
        if (made) return made.id
        throw error
      }
    },

    /** Devices that are not there or out of reach are passed over; without a group they leave theirs. */
    async move(deviceIds: string[], groupId: string | undefined, caller: Caller): Promise<void> {
      if (groupId !== undefined) await labels.check([groupId], 'group_id', caller)
      await devices.moveToGroup(caller.tenantId, deviceIds, groupId, await reachOf(caller))
    }
  }
}
