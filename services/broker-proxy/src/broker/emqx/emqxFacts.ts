import { AppError } from '@fleetgate/contracts'
import type { Found, Range } from '@fleetgate/kit'
import type { BrokerRules } from '../brokerDriver.js'
import { type BrokerFacts, createGauge, type Gauge, type SessionFacts, type StatName } from '../brokerFacts.js'
import type { EmqxApi, EmqxSession } from './api.js'
import { toTraffic } from './emqxTraffic.js'
import type { EmqxFigures } from './figures.js'
import { asOne } from './nodes.js'
import type { EmqxSettings } from './settings.js'
import type { Surveys, TenantSurvey } from './survey.js'
import type { TopicSpace } from './topicSpace.js'

export interface EmqxFactParts {
  api: Pick<EmqxApi, 'session' | 'subscriptions'>
  figures: EmqxFigures
  surveys: Surveys
  peaks: Peaks
  rules: Pick<BrokerRules, 'account'>
  space: TopicSpace
  settings: Pick<EmqxSettings, 'tenant'>
}

/** As many as the embedded broker keeps of a tenant. */
const maxRetained = 10_000

/** Lists and counts are cut from a survey of EMQX; what is asked of one client is asked of EMQX at once. */
export function createEmqxFacts(parts: EmqxFactParts): BrokerFacts {
  const { api, figures, surveys, peaks, rules, space } = parts
  const isSole = (tenantId: string) => tenantId === parts.settings.tenant

  async function find(tenantId: string, clientId: string): Promise<EmqxSession | undefined> {
    const session = await api.session(clientId)
    return session && rules.account(session.username)?.tenantId === tenantId ? session : undefined
  }

  /** Without mountpoint only one tenant has topics of its own; what machines retain on the fleet's is not told apart. */
  async function countRetained(tenantId: string): Promise<number> {
    if (!space.isMounted && !isSole(tenantId)) return 0
    return figures.countRetained(`${space.prefixOf(tenantId)}#`, maxRetained)
  }

  return {
    async sessions(tenantId, page) {
      const { items, total } = cut((await surveys.of(tenantId)).sessions, page)
      return { items: items.map(toFacts), total }
    },
    async session(tenantId, clientId) {
      const found = await find(tenantId, clientId)
      return found && toFacts(found)
    },
    subscriptions: async (tenantId, page) => cut((await surveys.of(tenantId)).subscriptions, page),

    async subscriptionsOf(tenantId, clientId) {
      if (!(await find(tenantId, clientId))) return []
      const found = await api.subscriptions(clientId)
      return found
        .map(({ filter, qos }) => ({ clientId, filter: space.asWritten(tenantId, filter), qos }))
        .sort((a, b) => (a.filter < b.filter ? -1 : 1))
    },
    routes: async (tenantId, page) => cut((await surveys.of(tenantId)).routes, page),
    hasRoute: async (tenantId, filter) => (await surveys.of(tenantId)).routes.includes(filter),

    async listeners(tenantId) {
      const [listeners, { sessions }] = await Promise.all([figures.listeners(), surveys.of(tenantId)])
      const ids = new Set(listeners.map(({ id }) => id))
      const counts = new Map<string | undefined, number>()
      for (const { isConnected, listener = '' } of sessions) {
        // Who does not say where it came in counts at the first.
        const id = ids.has(listener) ? listener : listeners[0]?.id
        if (isConnected) counts.set(id, (counts.get(id) ?? 0) + 1)
      }
      return listeners.map(({ id, ...listener }) => ({ ...listener, currentClients: counts.get(id) ?? 0, ended: {} }))
    },

    async traffic(tenantId) {
      if (isSole(tenantId)) return toTraffic(await figures.metrics())
      throw new AppError('unsupported', 'EMQX counts for all tenants together: only the tenant of EMQX_TENANT is told')
    },

    async stats(tenantId) {
      const [survey, retained] = await Promise.all([surveys.of(tenantId), countRetained(tenantId)])
      return peaks.of(tenantId, { ...countsOf(survey), retained })
    },

    async alarms(tenantId) {
      return (await figures.alarms()).filter(({ id }) => {
        // conn_congestion/{client id}/{user name}
        const [kind, , username] = id.split('/')
        return kind !== 'conn_congestion' || rules.account(username ?? '')?.tenantId === tenantId
      })
    },
    node: async () => asOne(await figures.nodes())
  }
}

function cut<T>(rows: readonly T[], { offset, limit }: Range): Found<T> {
  return { items: rows.slice(offset, offset + limit), total: rows.length }
}

/** EMQX does not say which acknowledgement a message waits for. */
function toFacts(session: EmqxSession): SessionFacts {
  const { clientId, clean, createdAt, subscriptions, maxInflight, awaitingRel, queued, dropped, delivered } = session
  const waiting = { awaitingAck: session.inflight, awaitingComp: 0, awaitingRel, queued, enqueued: 0 }
  return { clientId, clean, createdAt, subscriptions, maxInflight, dropped, delivered, ...waiting }
}

export function countsOf({ sessions, subscriptions, routes, subscribers }: TenantSurvey) {
  return {
    clients: sessions.filter(({ isConnected }) => isConnected).length,
    sessions: sessions.length,
    subscribers,
    subscriptions: subscriptions.length,
    topics: routes.length,
    routes: routes.length
  }
}

/** The highest counts of each tenant that were seen since the start. */
export interface Peaks {
  note(tenantId: string, counts: Partial<Record<StatName, number>>): void
  of(tenantId: string, counts: Record<StatName, number>): Record<StatName, Gauge>
}

export function createPeaks(): Peaks {
  const tenants = new Map<string, Map<StatName, ReturnType<typeof createGauge>>>()

  function note(tenantId: string, counts: Partial<Record<StatName, number>>): void {
    const gauges = tenants.get(tenantId) ?? new Map()
    tenants.set(tenantId, gauges)
    for (const [name, count] of Object.entries(counts) as [StatName, number][]) {
      const gauge = gauges.get(name) ?? createGauge()
      gauge.set(count)
      gauges.set(name, gauge)
    }
  }

  return {
    note,
    of(tenantId, counts) {
      note(tenantId, counts)
      const gauges = [...(tenants.get(tenantId) ?? [])].map(([name, { count, max }]) => [name, { count, max }])
      return Object.fromEntries(gauges)
    }
  }
}
