import {
  type Bus,
  type clientConnected,
  type clientDisconnected,
  compile,
  type Delivered,
  Hello,
  type Log,
  listConnectedClients,
  type Static,
  type UplinkMessage
} from '@fleetgate/kit'
import { toValue } from '../attributes/attribute.js'
import { byTenant, type SeenConnection } from './client.js'
import type { HelloOf, PresenceStore } from './presenceStore.js'

const checkHello = compile(Hello)
const maxAttributes = 100
const maxAttributeLength = 1024
const pageSize = 2000

export interface PresenceDeps {
  store: PresenceStore
  bus: Bus
  log: Log
  connectGraceMs: number
  /** Lets what waits for these machines go on after a moment. */
  release: (tenantId: string, mqttClientIds: string[], inMs: number) => Promise<void>
  /** A SERVER machine said hello: runs that need its files may go on. */
  onServer: () => void
}

export interface Presence {
  onConnected(batch: readonly Delivered<Static<typeof clientConnected.data>>[]): Promise<void>
  onDisconnected(batch: readonly Delivered<Static<typeof clientDisconnected.data>>[]): Promise<void>
  onHello(messages: readonly Delivered<UplinkMessage>[]): Promise<void>
  /** Compares with the broker and repairs what differs. */
  reconcile(): Promise<void>
}

export function createPresence({ store, bus, log, connectGraceMs, release, onServer }: PresenceDeps): Presence {
  async function releaseAll(seen: readonly { tenantId: string; clientId: string }[], inMs: number): Promise<void> {
    for (const [tenantId, ofTenant] of byTenant(seen)) {
      await release(tenantId, [...new Set(ofTenant.map(({ clientId }) => clientId))], inMs)
    }
  }

  async function listConnected(): Promise<{ connected: SeenConnection[]; takenAt: number }> {
    const connected: SeenConnection[] = []
    let takenAt = Number.POSITIVE_INFINITY
    for (let after = ''; ; ) {
      const page = await bus.request(listConnectedClients, { after, limit: pageSize })
      // Of what the first page saw late, a later page says nothing: the earliest moment counts for all.
      takenAt = Math.min(takenAt, page.takenAt)
      connected.push(...page.clients)
      const last = page.clients.at(-1)
      if (!last || page.clients.length < pageSize) return { connected, takenAt }
      after = last.clientId
    }
  }

  async function markGone(connected: readonly SeenConnection[], takenAt: number): Promise<number> {
    const present = new Set(connected.map(({ tenantId, clientId }) => `${tenantId}/${clientId}`))
    let gone = 0
    for (let after = ''; ; ) {
      const page = await store.onlinePage(takenAt, after, pageSize)
      const absent = page.filter(({ tenantId, mqttClientId }) => !present.has(`${tenantId}/${mqttClientId}`))
      await store.disconnected(
        absent.map(({ tenantId, mqttClientId, username, ip, connectedAt = 0 }) => {
          return { tenantId, clientId: mqttClientId, username, ip, connectedAt, disconnectedAt: takenAt }
        })
      )
      gone += absent.length
      const last = page.at(-1)
      if (!last || page.length < pageSize) return gone
      after = last._id
    }
  }

  return {
    async onConnected(batch) {
      const seen = batch.map(({ data }) => data)
      await store.register(seen)
      await store.connected(seen)
      // A hello shows that the machine listens. Where none comes, the command goes out after a moment of grace.
      await releaseAll(seen, connectGraceMs)
    },

    async onDisconnected(batch) {
      // It may overtake the event of its own connection, which must then find that this connection has ended.
      await store.register(batch.map(({ data }) => data))
      await store.disconnected(batch.map(({ data }) => data))
    },

    async onHello(messages) {
      const hellos = messages.flatMap(({ data }) => parseHello(data, log))
      if (hellos.length === 0) return
      await store.register(messages.map(({ data }) => ({ ...data, ip: '' })))
      await store.hello(hellos)
      await releaseAll(hellos, 0)
      if (hellos.some(({ role }) => role === 'SERVER')) onServer()
    },

    async reconcile() {
      const { connected, takenAt } = await listConnected()
      await store.register(connected)
      const revived = await store.revive(connected, takenAt)
      const gone = await markGone(connected, takenAt)
      await releaseAll(revived, connectGraceMs)
      if (revived.length + gone > 0) log.info({ revived: revived.length, gone }, 'presence repaired')
    }
  }
}

function parseHello({ tenantId, clientId, receivedAt, payload }: UplinkMessage, log: Log): HelloOf[] {
  try {
    const { role, version, attributes } = checkHello(JSON.parse(Buffer.from(payload).toString('utf8')))
    const list = Object.entries(attributes)
      .slice(0, maxAttributes)
      .map(([name, value]) => toValue(name.slice(0, 256), value.slice(0, maxAttributeLength)))
    return [{ tenantId, clientId, receivedAt, role, version: version.slice(0, 64), attributes: list }]
  } catch (error) {
    log.warn({ clientId, reason: (error as Error).message }, 'hello is not readable, dropped')
    return []
  }
}
