import type { BrokerRules } from '../brokerDriver.js'
import type { SubscriptionFacts } from '../brokerFacts.js'
import type { EmqxApi, EmqxSession } from './api.js'
import { ownIdPrefix } from './links.js'
import type { TopicSpace } from './topicSpace.js'

/** What one tenant has at EMQX, in the order in which it is listed. */
export interface TenantSurvey {
  sessions: readonly EmqxSession[]
  subscriptions: readonly SubscriptionFacts[]
  routes: readonly string[]
  subscribers: number
}

export interface Surveys {
  /** As it was some seconds ago at most; older, up to ten times as long as looking takes, where EMQX is slow. */
  of(tenantId: string): Promise<TenantSurvey>
  /** Something was changed from here: who asks next sees it. */
  forget(): void
}

export interface SurveyParts {
  api: Pick<EmqxApi, 'sessions' | 'allSubscriptions'>
  rules: Pick<BrokerRules, 'account'>
  space: TopicSpace
  /** Each tenant with something there, whenever EMQX was looked at. */
  onTaken(tenantId: string, survey: TenantSurvey): void
  now?: () => number
}

type Survey = ReadonlyMap<string, TenantSurvey>

interface Taken {
  survey: Survey
  at: number
  tookMs: number
}

const freshMs = 2_000
const usableMs = 10_000
const nothing: TenantSurvey = { sessions: [], subscriptions: [], routes: [], subscribers: 0 }

/**
 * EMQX knows no tenants, has no order that a page could rely on, and passes over the rows before a page one by one: so its lists
 * are read as a whole, once for all who ask in the same seconds, and pages are cut here.
 */
export function createSurveys({ now = Date.now, ...parts }: SurveyParts): Surveys {
  let last: Taken | undefined
  let running: Promise<Taken> | undefined

  async function take(): Promise<Taken> {
    const begun = now()
    const survey = await look(parts)
    for (const [tenantId, one] of survey) parts.onTaken(tenantId, one)
    return { survey, at: begun, tookMs: now() - begun }
  }

  function renew(): Promise<Taken> {
    if (running) return running
    const mine = take().then(
      (taken) => {
        // What was changed meanwhile may be missing.
        if (running === mine) [last, running] = [taken, undefined]
        return taken
      },
      (error) => {
        if (running === mine) running = undefined
        throw error
      }
    )
    running = mine
    return mine
  }

  async function current(): Promise<Survey> {
    if (!last) return (await renew()).survey
    const age = now() - last.at
    if (age <= freshMs + last.tookMs) return last.survey
    const fresh = renew()
    if (age > Math.max(usableMs, 10 * last.tookMs)) return (await fresh).survey
    // Whoever needs it next finds it or asks again; this answer does not depend on it.
    fresh.catch(() => undefined)
    return last.survey
  }

  return {
    of: async (tenantId) => (await current()).get(tenantId) ?? nothing,
    forget() {
      last = undefined
      running = undefined
    }
  }
}

interface Gathering {
  sessions: Map<string, EmqxSession>
  /** By client and filter: rows come twice where pages shift, and in clusters. */
  subscriptions: Map<string, SubscriptionFacts>
}

async function look({ api, rules, space }: Omit<SurveyParts, 'onTaken' | 'now'>): Promise<Survey> {
  const owners = new Map<string, string>()
  const tenants = new Map<string, Gathering>()
  const of = (tenantId: string) => {
    const found = tenants.get(tenantId) ?? { sessions: new Map(), subscriptions: new Map() }
    tenants.set(tenantId, found)
    return found
  }
  for await (const session of api.sessions()) {
    const { clientId, username, isConnected } = session
    const tenantId = rules.account(username)?.tenantId
    if (tenantId === undefined || clientId.startsWith(ownIdPrefix)) continue
    const { sessions } = of(tenantId)
    // One node may still have what another has taken over.
    if (!isConnected && sessions.get(clientId)?.isConnected) continue
    owners.set(clientId, tenantId)
    sessions.set(clientId, session)
  }
  for await (const { clientId, filter, qos } of api.allSubscriptions()) {
    const tenantId = owners.get(clientId)
    if (tenantId === undefined) continue
    const written = space.asWritten(tenantId, filter)
    of(tenantId).subscriptions.set(`${clientId}\0${written}`, { clientId, filter: written, qos })
  }
  return new Map([...tenants].map(([tenantId, gathering]) => [tenantId, inOrder(gathering)]))
}

function inOrder({ sessions, subscriptions }: Gathering): TenantSurvey {
  const filters = new Set<string>()
  const subscribers = new Set<string>()
  for (const { clientId, filter } of subscriptions.values()) {
    filters.add(filter)
    subscribers.add(clientId)
  }
  return {
    sessions: byKey(sessions),
    subscriptions: byKey(subscriptions),
    routes: [...filters].sort(),
    subscribers: subscribers.size
  }
}

function byKey<T>(rows: Map<string, T>): T[] {
  return [...rows.keys()].sort().map((key) => rows.get(key) as T)
}
