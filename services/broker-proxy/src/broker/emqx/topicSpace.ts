import { parseShared } from '../topics.js'
import type { EmqxSettings } from './settings.js'

/** Where a tenant's topics stand in the broker, and what is whose. */
export interface TopicSpace {
  /** Before every topic of the tenant; empty where tenants share one space. */
  prefixOf(tenantId: string): string
  /** A filter of a client of the tenant as the client wrote it; in the broker its mountpoint stands before it. */
  asWritten(tenantId: string, filter: string): string
  /** A topic as it is in the broker, taken apart. */
  parse(topic: string): ArrivedTopic | undefined
  /** Everything that machines send us. */
  readonly uplinkFilters: readonly string[]
  /** Outside of `fleet/`; without mountpoint these topics cannot be told apart by tenant. */
  mayUsePlainTopics(tenantId: string): boolean
  readonly isMounted: boolean
}

export interface ArrivedTopic {
  /** Only where the topic names it. */
  tenantId?: string
  clientId: string
  /** As the client wrote it. */
  topic: string
  /** As it was published; a report does not say. */
  qos?: 0 | 1 | 2
  retain?: boolean
}

/** What the rule of the README republishes: the sender's id, QoS and retain flag, then the topic as it was published. */
const fromPrefix = '$fleetgate/from/'

/**
 * Two ways: with EMQX's mountpoint `${client_attrs.tenant}/` (newer versions) each tenant has its own space, as in the
 * embedded broker. Without it the fleet's topics are kept apart by their client ids, which belong to one tenant each, and
 * other topics are for one tenant only.
 */
export function createTopicSpace({ mountpoint, tenant }: Pick<EmqxSettings, 'mountpoint' | 'tenant'>): TopicSpace {
  const isMounted = mountpoint === 'tenant'
  const mount = isMounted ? '+/' : ''

  /** With mountpoints the operator's rewriting brings `{tenant}/$delayed/{s}/…` into EMQX's own order. */
  function unmount(topic: string): { tenantId?: string; topic: string } | undefined {
    if (!isMounted) return { topic }
    const [, delay, later] = /^(\$delayed\/[^/]+\/)(.+)$/s.exec(topic) ?? []
    const place = later === undefined ? undefined : unmount(later)
    if (delay !== undefined) return place && { ...place, topic: delay + place.topic }
    const slash = topic.indexOf('/')
    return slash <= 0 ? undefined : { tenantId: topic.slice(0, slash), topic: topic.slice(slash + 1) }
  }

  return {
    isMounted,
    uplinkFilters: [`${mount}fleet/+/up/#`, `${fromPrefix}+/#`],
    prefixOf: (tenantId) => (isMounted ? `${tenantId}/` : ''),
    asWritten(tenantId, filter) {
      const shared = parseShared(filter)
      const [share, mounted] = shared ? [`$share/${shared.group}/`, shared.filter] : ['', filter]
      const prefix = isMounted ? `${tenantId}/` : ''
      return share + (mounted.startsWith(prefix) ? mounted.slice(prefix.length) : mounted)
    },
    mayUsePlainTopics: (tenantId) => isMounted || tenantId === tenant,
    parse(arrived) {
      const from = senderOf(arrived)
      const place = unmount(from?.topic ?? arrived)
      const clientId = from?.clientId ?? (place && reporterOf(place.topic))
      return place && clientId ? { ...from, ...place, clientId } : undefined
    }
  }
}

function senderOf(arrived: string): Required<Omit<ArrivedTopic, 'tenantId'>> | undefined {
  if (!arrived.startsWith(fromPrefix)) return undefined
  const rest = arrived.slice(fromPrefix.length)
  const [, clientId, qos, retain, topic] = /^([^/]+)\/([012])\/(true|false)\/(.+)$/s.exec(rest) ?? []
  if (clientId === undefined || topic === undefined) return undefined
  return { clientId, topic, qos: Number(qos) as 0 | 1 | 2, retain: retain === 'true' }
}

/** `fleet/{clientId}/up/…`: the authorizer lets nobody else publish there. */
function reporterOf(topic: string): string | undefined {
  const [fleet, clientId, up, channel] = topic.split('/', 4)
  return fleet === 'fleet' && up === 'up' && channel !== undefined ? clientId : undefined
}
