import { Readable } from 'node:stream'
import { createGauge, type Gauge } from '../brokerFacts.js'
import { matches } from '../topics.js'
import type { MessageRecord } from './sessions/messageRecord.js'

const maxPerTenant = 10_000
/** Of topics and payloads of a tenant: they are in memory, at each start too. */
const maxBytesPerTenant = 64 * 1024 * 1024

export interface RetainedMessages {
  /** How many a tenant has, and the most it has had. */
  gauge(tenantId: string): Gauge
  /** Off: what is kept stays but is not sent, and nothing is added. */
  setOn(tenantId: string, isOn: boolean): void
  /** Whether a message with this topic and payload changes what is kept. Topics stand below the tenant's mount point. */
  takes(topic: string, payload: Buffer): boolean
  store(message: MessageRecord): void
  all(): Iterable<MessageRecord>
  /** What matches, as aedes reads it. */
  stream(filters: string[]): Readable
}

/**
 * Retained messages by tenant, bounded. The memory store of aedes looks through every retained topic of all tenants at
 * each SUBSCRIBE; a fleet that connects at once would wait for that. They are kept on the disk by keptSessions.ts.
 */
export function createRetained(): RetainedMessages {
  const tenants = new Map<string, Map<string, MessageRecord>>()
  const bytes = new Map<string, number>()
  const gauges = new Map<string, ReturnType<typeof createGauge>>()
  const off = new Set<string>()

  function gauge(tenantId: string) {
    const found = gauges.get(tenantId) ?? createGauge()
    gauges.set(tenantId, found)
    return found
  }

  function* find(filter: string): Iterable<MessageRecord> {
    const tenant = tenantOf(filter)
    const ofTenant = tenants.get(tenant)
    if (!ofTenant || off.has(tenant)) return
    const exact = ofTenant.get(filter)
    if (exact) yield exact
    if (!/[+#]/.test(filter)) return
    for (const [topic, message] of ofTenant) if (matches(filter, topic)) yield message
  }

  return {
    gauge,
    setOn(tenantId, isOn) {
      if (isOn) off.delete(tenantId)
      else off.add(tenantId)
    },
    takes(topic, payload) {
      const tenant = tenantOf(topic)
      if (off.has(tenant)) return false
      // Also where nothing is to be seen yet: what this takes away may still be on its way to the disk.
      if (payload.length === 0) return true
      const ofTenant = tenants.get(tenant)
      const before = sizeOf(ofTenant?.get(topic))
      if ((bytes.get(tenant) ?? 0) - before + sizeOf({ topic, payload }) > maxBytesPerTenant) return false
      return before > 0 || (ofTenant?.size ?? 0) < maxPerTenant
    },
    store(message) {
      const tenant = tenantOf(message.topic)
      const ofTenant = tenants.get(tenant) ?? new Map<string, MessageRecord>()
      tenants.set(tenant, ofTenant)
      const kept = message.payload.length === 0 ? 0 : sizeOf(message)
      bytes.set(tenant, (bytes.get(tenant) ?? 0) - sizeOf(ofTenant.get(message.topic)) + kept)
      if (message.payload.length === 0) ofTenant.delete(message.topic)
      else ofTenant.set(message.topic, { ...message, targets: [] })
      gauge(tenant).set(ofTenant.size)
    },
    *all() {
      for (const ofTenant of tenants.values()) yield* ofTenant.values()
    },
    stream(filters) {
      const found = filters.flatMap((filter) => [...find(filter)])
      return Readable.from(
        found.map(({ topic, payload, qos }) => ({ cmd: 'publish', topic, payload, qos, retain: true }))
      )
    }
  }
}

function sizeOf(message: Pick<MessageRecord, 'topic' | 'payload'> | undefined): number {
  return message ? message.topic.length + message.payload.length : 0
}

function tenantOf(mounted: string): string {
  return mounted.slice(0, mounted.indexOf('/'))
}
