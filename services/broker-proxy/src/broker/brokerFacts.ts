import { AppError } from '@fleetgate/contracts'
import type { Found, Range } from '@fleetgate/kit'
import type { BrokerDriver } from './brokerDriver.js'

/** What a client has at the broker, connected or kept for its return. */
export interface SessionFacts {
  clientId: string
  clean: boolean
  /** Epoch ms. */
  createdAt: number
  subscriptions: number
  /** 0 = without a bound. */
  maxInflight: number
  /** Sent with QoS 1 or 2 and not through yet: waiting for PUBACK or PUBREC, and for PUBCOMP. */
  awaitingAck: number
  awaitingComp: number
  /** Received with QoS 2 and not released yet. */
  awaitingRel: number
  queued: number
  dropped: number
  delivered: number
  enqueued: number
}

export interface SubscriptionFacts {
  clientId: string
  filter: string
  qos: number
}

export interface ListenerFacts {
  /** As EMQ writes it: `mqtt:tcp`. */
  protocol: string
  listen: string
  acceptors: number
  maxClients: number
  currentClients: number
  /** Ended connections by reason. */
  ended: Record<string, number>
}

/** Packets by their MQTT type number (1 = CONNECT … 14 = DISCONNECT), messages by QoS; since the broker started. */
export interface Traffic {
  bytesIn: number
  bytesOut: number
  packetsIn: number[]
  packetsOut: number[]
  messagesIn: number[]
  messagesOut: number[]
  /** Acknowledgements of what is not known, by MQTT type number. */
  missed: number[]
  /** Messages that nobody had subscribed to, or that found a full queue. */
  dropped: number
  /** Of QoS 2, dropped because their release did not come; of a broker that does so. */
  unreleased?: number
  /** To other nodes of a cluster. */
  forwarded?: number
}

/** Something wrong that the broker itself tells. */
export interface BrokerAlarm {
  id: string
  title: string
  summary: string
  /** Epoch ms. */
  occurredAt: number
}

/** The nodes of a broker that run, taken together as the one that we show. */
export interface BrokerNode {
  version: string
  /** What it is. */
  description: string
  /** What it runs on: `R24.2/12.2`. */
  runtime: string
  uptimeMs: number
  memoryTotal: number
  memoryUsed: number
  /** Open files allowed; 0 where the broker does not tell. */
  maxFiles: number
  /** Over 1, 5 and 15 minutes. */
  load: readonly number[]
  /** Erlang's; of a broker that has such. */
  processes?: { available: number; used: number }
}

export interface Gauge {
  count: number
  /** The highest it has been since the broker started. */
  max: number
}

export type StatName = 'clients' | 'sessions' | 'topics' | 'subscribers' | 'subscriptions' | 'routes' | 'retained'

/** What a broker can tell about itself; each tenant is told its own part only. */
export interface BrokerFacts {
  sessions(tenantId: string, page: Range): Promise<Found<SessionFacts>>
  session(tenantId: string, clientId: string): Promise<SessionFacts | undefined>
  subscriptions(tenantId: string, page: Range): Promise<Found<SubscriptionFacts>>
  subscriptionsOf(tenantId: string, clientId: string): Promise<SubscriptionFacts[]>
  /** Filters that somebody has subscribed to. */
  routes(tenantId: string, page: Range): Promise<Found<string>>
  hasRoute(tenantId: string, filter: string): Promise<boolean>
  listeners(tenantId: string): Promise<ListenerFacts[]>
  traffic(tenantId: string): Promise<Traffic>
  stats(tenantId: string): Promise<Record<StatName, Gauge>>
  /** Of a broker in a process of its own. */
  alarms?(tenantId: string): Promise<BrokerAlarm[]>
  node?(): Promise<BrokerNode>
}

/** What can be done to sessions from outside. */
export interface BrokerControl {
  /** `not_found` without such a session, `forbidden` where the client's own permissions say no. */
  subscribe(tenantId: string, clientId: string, wish: { filter: string; qos: 0 | 1 | 2 }): Promise<void>
  unsubscribe(tenantId: string, clientId: string, filter: string): Promise<void>
  /**
   * Ends the subscriptions of an MQTT user that its permissions no longer allow, those of absent clients too. A broker in a
   * process of its own is asked later if it does not answer now.
   */
  dropForbidden(username: string): Promise<void>
  /** Whether retained messages of the tenant are kept and sent; on until told otherwise. Of a broker that has such a switch. */
  setRetaining?(tenantId: string, isOn: boolean): void
}

/** What a driver may offer beside the rest, once it is open. */
export interface BrokerExtras {
  readonly facts: BrokerFacts
  readonly control: BrokerControl
}

export type MaybeExtras = { readonly [K in keyof BrokerExtras]?: BrokerExtras[K] | undefined }

/** The extras of a driver; `unsupported` from one that has none. */
export function extrasOf(driver: BrokerDriver & MaybeExtras): BrokerExtras {
  const { facts, control } = driver
  if (!facts || !control) throw new AppError('unsupported', `the broker ${driver.name} does not tell this`)
  return { facts, control }
}

/** Something counted, and the most there has been of it. */
export function createGauge(): Gauge & { set(count: number): void } {
  return {
    count: 0,
    max: 0,
    set(count) {
      this.count = count
      if (count > this.max) this.max = count
    }
  }
}
