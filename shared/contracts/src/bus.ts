import type { JetStreamClient, JetStreamManager, NatsConnection } from 'nats'
import type {
  CommandContract,
  EventContract,
  RpcContract,
  SignalContract,
  UplinkChannel,
  UplinkMessage
} from './messages.js'
import type { Origin } from './origin.js'
import type { Static, TSchema } from './schema.js'

/** The little of a logger that this package needs; pino's fits. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** One message handed to a handler. `id` is the same on every redelivery. */
export interface Delivered<T> {
  data: T
  id: string
  /** Place in the stream; grows. */
  sequence: number
  /** 1 on the first delivery. */
  deliveries: number
  /** When the stream stored it, epoch ms. */
  storedAt: number
  requestId?: string | undefined
  /** W3C traceparent of whoever sent it. */
  traceparent?: string | undefined
}

export interface ConsumeOptions {
  /** Durable name; replicas that use the same name share the work. */
  durable: string
  /** Messages handed over at once, in stream order; default 1 … 256 as they are there. */
  maxBatch?: number
  /** Milliseconds before an unfinished message is delivered again; default 30000. */
  ackWaitMs?: number
}

export interface Subscription {
  /** Stops taking messages and waits for the handler that is at work. */
  stop(): Promise<void>
}

export interface Bus {
  /** The raw parts, for the object store and the like. */
  readonly connection: NatsConnection
  readonly jetstream: JetStreamClient
  readonly manager: JetStreamManager
  /** False while disconnected from NATS. */
  isReady(): boolean

  /** Stores an event in EVENTS; resolves when NATS has it on disk. Waits out a reconnect up to `deadlineMs` (10 s). */
  publish<S extends TSchema>(contract: EventContract<S>, data: Static<S>, options?: PublishOptions): Promise<void>
  /** The same for COMMANDS. */
  command<S extends TSchema>(contract: CommandContract<S>, data: Static<S>, options?: PublishOptions): Promise<void>
  /** The same for UPLINK. Not validated: payloads are the machines' own. */
  uplink(message: UplinkMessage, options?: PublishOptions): Promise<void>
  /** Publishes bytes, or an already validated payload of an outbox, under the full subject into whatever stream has it. */
  publishRaw(subject: string, payload: string | Uint8Array, options?: PublishOptions): Promise<void>

  /**
   * Durable consumption in order. The handler gets a batch, under the origin that its messages share, or under none where they differ
   * (`oneByOne` gives each its own); when it resolves all are acknowledged, when it rejects all
   * come again after a delay. A payload that breaks its schema is logged and ended without reaching the handler.
   */
  consume<S extends TSchema>(
    contract: EventContract<S>,
    options: ConsumeOptions,
    handle: (batch: Delivered<Static<S>>[]) => Promise<void>
  ): Promise<Subscription>
  consumeCommands<S extends TSchema>(
    contract: CommandContract<S>,
    options: ConsumeOptions,
    handle: (batch: Delivered<Static<S>>[]) => Promise<void>
  ): Promise<Subscription>
  consumeUplink(
    channels: UplinkChannel[],
    options: ConsumeOptions,
    handle: (batch: Delivered<UplinkMessage>[]) => Promise<void>
  ): Promise<Subscription>
  /**
   * Every process sees every event (no work sharing), from `sinceMs` ago on and then live: caches and revocations. Resolves
   * when everything that was stored before the call has been handled.
   */
  watch<S extends TSchema>(
    contract: EventContract<S>,
    options: { sinceMs: number },
    handle: (data: Static<S>) => void
  ): Promise<Subscription>

  /** Tells every listener of this moment, in every process; dropped while NATS is away. */
  signal<S extends TSchema>(contract: SignalContract<S>, tenantId: string, data: Static<S>): void
  /**
   * Hears the signals of one tenant from now on; `onGap` is called after an outage, in which some may have been missed. What
   * breaks its schema is logged and passed over.
   */
  listen<S extends TSchema>(
    contract: SignalContract<S>,
    tenantId: string,
    hear: { handle(data: Static<S>): void; onGap?(): void }
  ): Promise<Subscription>

  /** Asks; throws AppError (the peer's own, or `unavailable` / `timeout`). */
  request<Q extends TSchema, R extends TSchema>(
    contract: RpcContract<Q, R>,
    data: Static<Q>,
    options?: RequestOptions
  ): Promise<Static<R>>
  /** Answers; replicas share the questions. An AppError thrown by the handler reaches the caller as it is. */
  serve<Q extends TSchema, R extends TSchema>(
    contract: RpcContract<Q, R>,
    handle: (data: Static<Q>) => Promise<Static<R>>
  ): Promise<Subscription>

  /** Drains and closes. */
  close(): Promise<void>
}

/** Without a request id and a traceparent those of the work at hand: see `origin.ts`. */
export interface RequestOptions extends Origin {
  timeoutMs?: number
}

/** Like `RequestOptions`. */
export interface PublishOptions extends Origin {
  /** Nats-Msg-Id: the stream drops a repeat within its two-minute window. */
  id?: string
  deadlineMs?: number
}

export interface BusOptions {
  /** Service name, shown in NATS monitoring and used as the RPC queue group. */
  name: string
  url: string
  log: Log
}
