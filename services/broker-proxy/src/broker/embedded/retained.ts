import { Readable } from 'node:stream'
import { createGauge, type Gauge } from '../brokerFacts.js'
import { matches } from '../topics.js'
import type { Persistence, StoredPacket } from './aedesParts.js'

const maxPerTenant = 10_000

export interface RetainedMessages {
  /** How many a tenant has, and the most it has had. */
  gauge(tenantId: string): Gauge
  /** Off: what is kept stays but is not sent, and nothing is added. */
  setOn(tenantId: string, isOn: boolean): void
}

/**
 * Retained messages by tenant, bounded. The memory store of aedes looks through every retained topic of all tenants at
 * each SUBSCRIBE; a fleet that connects at once would wait for that.
 */
export function keepRetainedByTenant(persistence: Persistence): RetainedMessages {
  const tenants = new Map<string, Map<string, StoredPacket>>()
  const gauges = new Map<string, ReturnType<typeof createGauge>>()
  const off = new Set<string>()

  function gauge(tenantId: string) {
    const found = gauges.get(tenantId) ?? createGauge()
    gauges.set(tenantId, found)
    return found
  }

  function* find(filter: string): Iterable<StoredPacket> {
    const tenant = tenantOf(filter)
    const ofTenant = tenants.get(tenant)
    if (!ofTenant || off.has(tenant)) return
    const exact = ofTenant.get(filter)
    if (exact) yield exact
    if (!/[+#]/.test(filter)) return
    for (const [topic, packet] of ofTenant) if (matches(filter, topic)) yield packet
  }

  persistence.storeRetained = async (packet) => {
    const tenant = tenantOf(packet.topic)
    if (off.has(tenant)) return
    const ofTenant = tenants.get(tenant) ?? new Map<string, StoredPacket>()
    tenants.set(tenant, ofTenant)
    if (packet.payload.length === 0) ofTenant.delete(packet.topic)
    else if (ofTenant.size < maxPerTenant || ofTenant.has(packet.topic)) ofTenant.set(packet.topic, { ...packet })
    gauge(tenant).set(ofTenant.size)
  }

  persistence.createRetainedStreamCombi = (filters) => Readable.from(filters.flatMap((filter) => [...find(filter)]))
  return {
    gauge,
    setOn(tenantId, isOn) {
      if (isOn) off.delete(tenantId)
      else off.add(tenantId)
    }
  }
}

function tenantOf(mounted: string): string {
  return mounted.slice(0, mounted.indexOf('/'))
}
