import {
  type Bus,
  type Log,
  listMachines,
  type Machine,
  machineChanged,
  type Static,
  type Subscription
} from '@fleetgate/kit'
import type { Model } from 'mongoose'
import type { Client } from '../clients/client.js'
import type { Clients } from '../clients/clients.js'
import type { PresenceStore } from '../clients/presenceStore.js'

const atOnce = 500

/** Tells others which machines changed. Whoever misses an event finds the change when it next compares. */
export interface Tell {
  changed(tenantId: string, mqttClientIds: readonly string[]): void
  removed(tenantId: string, clientId: number): void
}

export function createTell({ bus, log, now }: { bus: Pick<Bus, 'publish'>; log: Log; now: () => number }): Tell {
  function publish(event: { tenantId: string; mqttClientIds: string[]; removed: number[] }): void {
    bus
      .publish(machineChanged, { ...event, at: now() })
      .catch((err) => log.warn({ err, tenantId: event.tenantId }, 'change of machines not told'))
  }

  return {
    changed(tenantId, mqttClientIds) {
      const ids = [...new Set(mqttClientIds)]
      while (ids.length > 0) publish({ tenantId, mqttClientIds: ids.splice(0, atOnce), removed: [] })
    },
    removed: (tenantId, clientId) => publish({ tenantId, mqttClientIds: [], removed: [clientId] })
  }
}

type Seen = readonly { tenantId: string; clientId: string }[]

/** The same store; what it writes is told. */
export function tellingPresence(store: PresenceStore, tell: Tell): PresenceStore {
  const say = (seen: Seen): void => {
    for (const tenantId of new Set(seen.map((one) => one.tenantId))) {
      tell.changed(
        tenantId,
        seen.filter((one) => one.tenantId === tenantId).map(({ clientId }) => clientId)
      )
    }
  }
  return {
    ...store,
    connected: (seen) => store.connected(seen).then(() => say(seen)),
    disconnected: (ended) => store.disconnected(ended).then(() => say(ended)),
    hello: (hellos) => store.hello(hellos).then(() => say(hellos)),
    async revive(seen, takenAt) {
      const revived = await store.revive(seen, takenAt)
      say(revived)
      return revived
    }
  }
}

/** The same operations; what they change is told. */
export function tellingClients(clients: Clients, tell: Tell): Clients {
  return {
    ...clients,
    async register(tenantId, draft) {
      const client = await clients.register(tenantId, draft)
      tell.changed(tenantId, [client.mqttClientId])
      return client
    },
    async change(tenantId, clientId, change) {
      await clients.change(tenantId, clientId, change)
      tell.changed(tenantId, [(await clients.get(tenantId, clientId)).mqttClientId])
    },
    async retire(tenantId, clientId) {
      await clients.retire(tenantId, clientId)
      tell.removed(tenantId, clientId)
    }
  }
}

/** RPC scheduler.listMachines. */
export function serveMachines(bus: Pick<Bus, 'serve'>, model: Model<Client>, now: () => number): Promise<Subscription> {
  return bus.serve(listMachines, async ({ among, after, limit }): Promise<Static<typeof listMachines.reply>> => {
    const takenAt = now()
    if (among) {
      const { tenantId, mqttClientIds } = among
      const found = await model.find({ tenantId, mqttClientId: { $in: mqttClientIds } }).lean<Client[]>()
      return { machines: found.map(toMachine), takenAt }
    }
    const page = await model
      .find({ _id: { $gt: after } })
      .sort({ _id: 1 })
      .limit(limit)
      .lean<Client[]>()
    const cursor = page.length === limit ? page.at(-1)?._id : undefined
    return { machines: page.map(toMachine), takenAt, ...(cursor === undefined ? {} : { cursor }) }
  })
}

function toMachine(client: Client): Machine {
  const { tenantId, clientId, mqttClientId, username = '', ip = '', enabled, role, status, version } = client
  const values = [...client.attributes, ...(client.assigned ?? [])].map(({ name, value }) => [name, value])
  return {
    ...{ tenantId, clientId, mqttClientId, username, ip, enabled, role, status },
    ...(version === undefined ? {} : { version }),
    attributes: Object.fromEntries(values)
  }
}
