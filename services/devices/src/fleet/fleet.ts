import { setTimeout as delay } from 'node:timers/promises'
import {
  type Bus,
  createTurns,
  type Delivered,
  type Log,
  listMachines,
  type Machine,
  type machineChanged,
  newNumericId,
  type Static
} from '@fleetgate/kit'
import type { Device } from '../devices/device.js'
import type { DeviceMark, DeviceStore } from '../devices/deviceStore.js'
import type { Settle } from '../devices/settle.js'
import { draftsOf } from '../entities/entityKeys.js'
import type { EntityStore } from '../entities/entityStore.js'
import type { Measured, Refused } from '../entities/ingest.js'
import { wholeReach } from '../grants/reach.js'
import { digestOf, entitiesOf, fleet, machineKey, valuesOf } from './machine.js'

export interface FleetOptions {
  devices: Pick<
    DeviceStore,
    'findByKeys' | 'insertMany' | 'settledMany' | 'remove' | 'listOfAll' | 'madeFrom' | 'noteMadeFrom'
  >
  entities: Pick<EntityStore, 'ensure' | 'findByKeys'>
  settle: Settle
  report: (tenantId: string, measured: Measured[]) => Promise<Refused[]>
  bus: Pick<Bus, 'request'>
  log: Log
  now: () => number
}

export type Fleet = ReturnType<typeof createFleet>
type Changed = Delivered<Static<typeof machineChanged.data>>

const pageSize = 500
/** A comparison works for a tenth of the time at most: large fleets are compared in the background. */
const restFactor = 9
const longestRestMs = 10_000

/**
 * The scheduler's machines as devices. Events only say whom to ask for, so late, lost and repeated ones do no harm:
 * values are those of the answer, at the moment of the answer, and only what differs is kept.
 */
export function createFleet({ devices, entities, settle, report, bus, log, now }: FleetOptions) {
  /** What an event and a comparison find of one machine at once would stand in its history twice. */
  const inTurn = createTurns()

  /** Machines that are not as they were when their devices were made; most are, so the rest is not read for them. */
  async function sync(tenantId: string, all: Machine[], at: number): Promise<void> {
    const digests = new Map(all.map((machine) => [machineKey(machine), digestOf(machine, at)]))
    const known = await devices.madeFrom(tenantId, [...digests.keys()])
    const machines = all.filter((machine) => {
      const key = machineKey(machine)
      return known.get(key) !== digests.get(key)
    })
    if (machines.length === 0) return
    await makeDevices(tenantId, machines)
    const values = new Map(machines.flatMap((machine) => [...valuesOf(machine)]))
    const found = await findOrMake(tenantId, machines, [...values.keys()])
    const measured = found.flatMap(({ key, latest }): Measured[] => {
      const value = values.get(key)
      return latest && String(latest.value) === String(value) ? [] : [{ key, value, at }]
    })
    const refused = await report(tenantId, measured)
    if (refused.length > 0) log.warn({ tenantId, refused: refused.slice(0, 5) }, 'values of machines not taken')
    const made = machines.map(machineKey).map((key) => [key, digests.get(key) ?? ''] as const)
    await devices.noteMadeFrom(tenantId, new Map(made))
  }

  async function makeDevices(tenantId: string, machines: Machine[]): Promise<void> {
    const find = () => devices.findByKeys(tenantId, machines.map(machineKey))
    const known = new Set((await find()).map(({ device }) => device.key))
    const fresh = machines.filter((machine) => !known.has(machineKey(machine)))
    if (fresh.length > 0) {
      await devices.insertMany(
        fresh.map((machine) => toDevice(tenantId, machine, now())),
        []
      )
    }
    const byKey = new Map(machines.map((machine) => [machineKey(machine), machine]))
    const waiting = (await find()).filter(({ isUnsettled }) => isUnsettled).map(({ device }) => device)
    if (waiting.length === 0) return
    await entities.ensure(waiting.flatMap((device) => draftsFor(device, byKey.get(device.key))))
    await devices.settledMany(waiting.map(({ id }) => id))
  }

  /** An attribute that a machine never had before becomes an entity. */
  async function findOrMake(tenantId: string, machines: Machine[], keys: string[]) {
    const found = await entities.findByKeys(tenantId, keys, wholeReach)
    if (found.length === keys.length) return found
    const there = new Set(found.map(({ key }) => key))
    const byKey = new Map(machines.map((machine) => [machineKey(machine), machine]))
    const owners = await devices.findByKeys(tenantId, [...byKey.keys()])
    const drafts = owners.flatMap(({ device }) => draftsFor(device, byKey.get(device.key)))
    await entities.ensure(drafts.filter(({ key }) => !there.has(key)))
    return entities.findByKeys(tenantId, keys, wholeReach)
  }

  async function remove(device: DeviceMark): Promise<void> {
    await devices.remove(device.tenantId, device.id)
    await settle(device.id)
  }

  return {
    async onChanged(batch: readonly Changed[]): Promise<void> {
      for (const { data } of batch) {
        const { tenantId, mqttClientIds, removed } = data
        if (mqttClientIds.length > 0) {
          const { machines, takenAt } = await bus.request(listMachines, {
            among: { tenantId, mqttClientIds },
            after: '',
            limit: 500
          })
          await inTurn(tenantId, () => sync(tenantId, machines, takenAt))
        }
        const gone = removed.map((clientId) => machineKey({ clientId }))
        const found = gone.length > 0 ? await devices.findByKeys(tenantId, gone) : []
        for (const { device } of found) await remove(device)
      }
    },

    /** Compares with the scheduler and repairs what differs; stops early where that is asked for. */
    async reconcile(stopped: AbortSignal): Promise<void> {
      const begun = now()
      const seen = new Set<string>()
      for await (const { machines, takenAt } of inPages(pageOfMachines, stopped)) {
        for (const tenantId of new Set(machines.map((machine) => machine.tenantId))) {
          const own = machines.filter((machine) => machine.tenantId === tenantId)
          for (const machine of own) seen.add(`${tenantId}/${machineKey(machine)}`)
          await inTurn(tenantId, () => sync(tenantId, own, takenAt))
        }
      }
      for await (const { marks } of inPages(pageOfDevices, stopped)) {
        for (const mark of marks) {
          if (mark.createdAt < begun && !seen.has(`${mark.tenantId}/${mark.key}`)) await remove(mark)
        }
      }
    }
  }

  async function pageOfMachines(after: string): Promise<Static<typeof listMachines.reply>> {
    return bus.request(listMachines, { after, limit: pageSize })
  }

  async function pageOfDevices(after: string): Promise<{ marks: DeviceMark[]; cursor?: string | undefined }> {
    const found = await devices.listOfAll(fleet, after, pageSize)
    // Removed ones have no tenant.
    const marks = found.filter(({ tenantId }) => tenantId !== '')
    return { marks, cursor: found.length === pageSize ? found.at(-1)?.id : undefined }
  }

  /** One page after the other with rests between them, until the last or until stopped: then the end is an error. */
  async function* inPages<T extends { cursor?: string | undefined }>(
    read: (after: string) => Promise<T>,
    stopped: AbortSignal
  ): AsyncGenerator<T> {
    for (let after: string | undefined = ''; after !== undefined; ) {
      stopped.throwIfAborted()
      const begun = now()
      const page: T = await read(after)
      yield page
      after = page.cursor
      const rest = Math.min((now() - begun) * restFactor, longestRestMs)
      if (after !== undefined) await delay(rest, undefined, { signal: stopped })
    }
  }
}

function toDevice(tenantId: string, machine: Machine, now: number): Device {
  const { clientId, mqttClientId } = machine
  const own = { id: newNumericId(now), tenantId, userId: '', integration: fleet, createdAt: now, updatedAt: now }
  const additionalData = { clientId, mqttClientId }
  return { ...own, identifier: String(clientId), key: machineKey(machine), name: mqttClientId, additionalData }
}

function draftsFor({ tenantId, id, name, key }: Device, machine: Machine | undefined) {
  if (!machine) return []
  return draftsOf(key, entitiesOf(machine), { tenantId, integration: fleet, deviceId: id, deviceName: name })
}
