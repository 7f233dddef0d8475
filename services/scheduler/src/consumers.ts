import {
  AppError,
  type Bus,
  clientConnected,
  clientDisconnected,
  type Delivered,
  type ErrorCode,
  type Log,
  oneByOne,
  runFinished,
  type Static,
  type Subscription,
  type UplinkMessage
} from '@fleetgate/kit'
import type { Presence } from './clients/presence.js'
import type { Backlog } from './executions/backlog.js'

type OnMessage = (message: UplinkMessage) => Promise<void>

export interface ConsumersDeps {
  bus: Bus
  log: Log
  presence: Presence
  onReport: (messages: readonly Delivered<UplinkMessage>[]) => Promise<void>
  onStaged: OnMessage
  offers: { onOffer: OnMessage; onReceived: OnMessage }
  backlog: Backlog
  onRunFinished: (event: Static<typeof runFinished.data>) => Promise<void>
  reconcileMs: number
}

export interface Consumers {
  start(): Promise<void>
  stop(): Promise<void>
}

/** One bulk write for so many messages: the journal costs per write, and reports of one machine become one update. */
const maxBatch = 4000

/** What a replica had at hand when it was killed goes to another one after this time. */
const ackWaitMs = 10_000

/** Refusals of a command that no later try can change. */
const hopeless = new Set<ErrorCode>(['body_too_large', 'invalid_input'])

/** Everything that comes from outside by NATS: one durable each, shared by the replicas. */
export function createConsumers(deps: ConsumersDeps): Consumers {
  const { bus, log, presence } = deps
  const subscriptions: Subscription[] = []
  let timer: NodeJS.Timeout | undefined
  let reconciling: Promise<void> | undefined
  let stopped = false

  function onReports(batch: readonly Delivered<UplinkMessage>[]): Promise<void> {
    return deps.backlog.during(
      batch.map(({ storedAt }) => storedAt),
      () => deps.onReport(batch)
    )
  }

  function each(handle: OnMessage) {
    return (batch: readonly Delivered<UplinkMessage>[]): Promise<void> =>
      oneByOne(batch, ({ data }) => handle(data).catch((error) => passHopeless(error, data)))
  }

  /** What would be refused each time must not hold up the messages of all other machines. */
  function passHopeless(error: unknown, { tenantId, clientId, channel }: UplinkMessage): void {
    if (!(error instanceof AppError) || !hopeless.has(error.code)) throw error
    log.warn({ tenantId, clientId, channel, reason: error.message }, 'what a message leads to cannot be sent, dropped')
  }

  function scheduleReconcile(inMs: number): void {
    if (stopped) return
    timer = setTimeout(() => {
      reconciling = presence
        .reconcile()
        .catch((error) => log.warn({ reason: (error as Error).message }, 'presence not compared with the broker'))
        .finally(() => scheduleReconcile(deps.reconcileMs))
    }, inMs)
  }

  return {
    async start() {
      const work = { maxBatch, ackWaitMs }
      subscriptions.push(
        await bus.consume(clientConnected, { durable: 'scheduler-connected', ...work }, presence.onConnected),
        await bus.consume(runFinished, { durable: 'scheduler-alerts', ackWaitMs }, (batch) =>
          oneByOne(batch, ({ data }) => deps.onRunFinished(data))
        ),
        await bus.consume(clientDisconnected, { durable: 'scheduler-disconnected', ...work }, presence.onDisconnected),
        // One channel each: with several filters on one consumer NATS searches all subjects for every message, which costs
        // 0.5 ms each at 10,000 machines (measured: 28 s for 50,000 messages against 5 s).
        await bus.consumeUplink(['hello'], { durable: 'scheduler-hello', ...work }, presence.onHello),
        await bus.consumeUplink(['staged'], { durable: 'scheduler-staged', ...work }, each(deps.onStaged)),
        await bus.consumeUplink(['offer'], { durable: 'scheduler-offer', ...work }, each(deps.offers.onOffer)),
        await bus.consumeUplink(['received'], { durable: 'scheduler-received', ...work }, each(deps.offers.onReceived)),
        await bus.consumeUplink(['report'], { durable: 'scheduler-report', ...work }, onReports)
      )
      scheduleReconcile(Math.min(1000, deps.reconcileMs))
    },

    async stop() {
      stopped = true
      clearTimeout(timer)
      await Promise.all(subscriptions.splice(0).map((subscription) => subscription.stop()))
      await reconciling
    }
  }
}
