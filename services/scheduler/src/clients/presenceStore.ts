import type { mongo } from 'mongoose'
import { passDuplicates } from '../executions/executionStore.js'
import { byTenant, type Client, isMissed, namePartsOf, newestPerClient, type SeenConnection } from './client.js'
import { type ClientStore, clientKey, type StoredClient } from './clientStore.js'

export interface HelloOf {
  tenantId: string
  clientId: string
  receivedAt: number
  role: Client['role']
  version: string
  attributes: Client['attributes']
}

export interface Ended extends SeenConnection {
  disconnectedAt: number
}

export interface PresenceStore {
  /** Registers machines never seen before; a number each, taken in blocks. */
  register(seen: readonly Pick<SeenConnection, 'tenantId' | 'clientId' | 'username' | 'ip'>[]): Promise<void>
  connected(seen: readonly SeenConnection[]): Promise<void>
  disconnected(ended: readonly Ended[]): Promise<void>
  hello(hellos: readonly HelloOf[]): Promise<void>
  /** Machines shown online by a connection made before `takenAt`, page by page in order of _id. */
  onlinePage(takenAt: number, after: string, limit: number): Promise<Client[]>
  /** A connection that the broker still has, though it was taken for ended before `takenAt`. Answers those it concerned. */
  revive(seen: readonly SeenConnection[], takenAt: number): Promise<SeenConnection[]>
}

export interface PresenceOptions {
  clients: ClientStore
  /** Whether machines of a tenant that are seen for the first time are enabled. */
  autoEnable: (tenantId: string) => Promise<boolean>
  now: () => number
}

type Write = mongo.AnyBulkWriteOperation<StoredClient>

const shown = { nameParts: 0, usernameParts: 0 } as const
const stateFields = { mqttClientId: 1, status: 1, connectedAt: 1, disconnectedAt: 1 } as const

/**
 * Every write is judged by when a connection was made, which names it: events may come late, twice, or in another order
 * and the newest connection still decides.
 */
export function createPresenceStore({ clients, autoEnable, now }: PresenceOptions): PresenceStore {
  const { collection, counters } = clients

  async function write(writes: Write[]): Promise<void> {
    if (writes.length > 0) await collection.bulkWrite(writes, { ordered: false })
  }

  return {
    async register(seen) {
      for (const [tenantId, ofTenant] of byTenant(seen)) {
        const byName = new Map(ofTenant.map((one) => [one.clientId, one]))
        const names = { tenantId, mqttClientId: { $in: [...byName.keys()] } }
        const known = await collection.find(names, { projection: { mqttClientId: 1 } }).toArray()
        for (const { mqttClientId } of known) byName.delete(mqttClientId)
        if (byName.size === 0) continue
        const made = { autoEnable: await autoEnable(tenantId), now: now() }
        const first = await counters.next(tenantId, 'client', byName.size)
        const fresh = [...byName.values()].map((one, i) => newClient(one, first + i, made))
        await collection.insertMany(fresh, { ordered: false }).catch(passDuplicates)
      }
    },

    async connected(seen) {
      await write(
        newestPerClient(seen).map(
          ({ tenantId, clientId, connectedAt, username, ip }): Write => ({
            updateOne: {
              filter: { tenantId, mqttClientId: clientId, $or: isOlderThan(connectedAt) },
              update: { $set: { status: 'ONLINE', connectedAt, username, ip, ...namePartsOf({ username }) } }
            }
          })
        )
      )
    },

    async disconnected(ended) {
      await write(
        newestPerClient(ended).map(
          ({ tenantId, clientId, connectedAt, disconnectedAt }): Write => ({
            updateOne: {
              filter: {
                tenantId,
                mqttClientId: clientId,
                $or: [...isOlderThan(connectedAt), { connectedAt, status: 'ONLINE' }]
              },
              update: { $set: { status: 'OFFLINE', connectedAt, disconnectedAt } }
            }
          })
        )
      )
    },

    async hello(hellos) {
      await write(
        hellos.flatMap(({ tenantId, clientId, receivedAt, role, version, attributes }): Write[] => {
          const isNewer = { $or: [{ helloAt: { $exists: false } }, { helloAt: { $lt: receivedAt } }] }
          const filter = { tenantId, mqttClientId: clientId, ...isNewer }
          const said = { version, attributes, helloAt: receivedAt }
          // One of them fits.
          return [
            { updateOne: { filter: { ...filter, isRoleFixed: { $ne: true } }, update: { $set: { ...said, role } } } },
            { updateOne: { filter: { ...filter, isRoleFixed: true }, update: { $set: said } } }
          ]
        })
      )
    },

    onlinePage: (takenAt, after, limit) =>
      collection
        .find({ _id: { $gt: after }, status: 'ONLINE', connectedAt: { $lt: takenAt } }, { projection: shown })
        .sort({ _id: 1 })
        .limit(limit)
        .toArray(),

    async revive(seen, takenAt) {
      const missed: SeenConnection[] = []
      // Nearly all are known: reading them costs a tenth of a write that would find nothing to do.
      for (const [tenantId, ofTenant] of byTenant(newestPerClient(seen))) {
        const names = { tenantId, mqttClientId: { $in: ofTenant.map(({ clientId }) => clientId) } }
        const found = await collection.find(names, { projection: stateFields }).toArray()
        const known = new Map(found.map((client) => [client.mqttClientId, client]))
        missed.push(...ofTenant.filter((one) => isMissed(known.get(one.clientId), one.connectedAt, takenAt)))
      }
      await write(missed.map((one) => reviveWrite(one, takenAt)))
      return missed
    }
  }
}

function reviveWrite({ tenantId, clientId, connectedAt, username, ip }: SeenConnection, takenAt: number): Write {
  const wasEnded = { connectedAt, status: 'OFFLINE' as const, disconnectedAt: { $lt: takenAt } }
  return {
    updateOne: {
      filter: { tenantId, mqttClientId: clientId, $or: [...isOlderThan(connectedAt), wasEnded] },
      update: { $set: { status: 'ONLINE', connectedAt, username, ip, ...namePartsOf({ username }) } }
    }
  }
}

function isOlderThan(connectedAt: number): mongo.Filter<StoredClient>[] {
  return [{ connectedAt: { $exists: false } }, { connectedAt: { $lt: connectedAt } }]
}

function newClient(
  seen: Pick<SeenConnection, 'tenantId' | 'clientId' | 'username' | 'ip'>,
  clientId: number,
  { autoEnable, now }: { autoEnable: boolean; now: number }
): StoredClient {
  const { tenantId, username, ip } = seen
  return {
    _id: clientKey(tenantId, clientId),
    tenantId,
    clientId,
    mqttClientId: seen.clientId,
    username,
    ...namePartsOf({ mqttClientId: seen.clientId, username }),
    ip,
    enabled: autoEnable,
    role: 'STORE',
    status: 'OFFLINE',
    attributes: [],
    createdAt: now
  }
}
