import { type Bus, type Log, newId } from '@fleetgate/contracts'
import type { BrokerDriver, InboundMessage, Sender, Session } from '../broker/brokerDriver.js'
import { isSaneTopic } from '../broker/topics.js'
import type { DelayedMessage, DelayedStore } from './delayedStore.js'

export interface DelayedParts {
  store: DelayedStore
  bus: Pick<Bus, 'uplink'>
  driver: Pick<BrokerDriver, 'publish'>
  /** It is passed on to subscribers. */
  onPublished(sender: Sender, message: InboundMessage): void
  /** Messages of one tenant that may wait. */
  maxWaiting: number
  now: () => number
  log: Log
}

export interface Delayed {
  /** False where too many wait; resolves when it is kept. */
  keep(session: Session, wish: DelayedWish, message: InboundMessage): Promise<boolean>
  start(): void
  stop(): Promise<void>
}

export interface DelayedWish {
  seconds: number
  topic: string
}

/** The bound of EMQX. */
const maxSeconds = 4_294_967
const lookEveryMs = 500
/** Far longer than so many messages take together where NATS answers at all. */
const leaseMs = 60_000
const sendWithinMs = 5_000
const atOnce = 20
const countEveryMs = 5_000

/** `$delayed/{seconds}/{topic}`, taken apart; undefined for everything else. */
export function parseDelayed(name: string): DelayedWish | undefined {
  const [, digits = '', topic = ''] = /^\$delayed\/([0-9]{1,7})\/(.+)$/s.exec(name) ?? []
  const seconds = Number(digits)
  if (topic === '' || seconds > maxSeconds || !isSaneTopic(topic) || /[+#]/.test(topic)) return undefined
  // What machines and the product say to one another is not said later.
  return topic.startsWith('$') || topic.startsWith('fleet/') ? undefined : { seconds, topic }
}

/**
 * Messages for later. They lie in the database, so whichever process is there when one is due sends it. A process that dies
 * in between leaves it to another, half a minute later: like all QoS 1 it may come twice, and is never lost.
 */
export function createDelayed({ store, bus, driver, onPublished, maxWaiting, now, log }: DelayedParts): Delayed {
  /** One object for all who ask at about the same time: each takes its place there. */
  const counts = new Map<string, { count: Promise<{ waiting: number }>; at: number }>()
  let timer: NodeJS.Timeout | undefined
  let working: Promise<void> = Promise.resolve()
  let isStopped = false
  let kept = 0

  function waiting(tenantId: string): Promise<{ waiting: number }> {
    const known = counts.get(tenantId)
    if (known && now() - known.at < countEveryMs) return known.count
    const fresh = { count: store.count(tenantId).then((waiting) => ({ waiting })), at: now() }
    counts.set(tenantId, fresh)
    fresh.count.catch(() => counts.delete(tenantId))
    return fresh.count
  }

  async function sendDue(): Promise<void> {
    for (;;) {
      const due = await store.claimDue(now(), leaseMs, atOnce)
      // What fails waits for its lease to end, by itself.
      const sent = await Promise.allSettled(bySender(due).map(sendAll))
      const failed = sent.find((one) => one.status === 'rejected')
      if (failed) throw failed.reason
      if (due.length < atOnce || isStopped) return
    }
  }

  async function sendAll(messages: DelayedMessage[]): Promise<void> {
    const giveUpAt = now() + leaseMs / 2
    for (const message of messages) if (now() < giveUpAt) await send(message)
  }

  async function send(message: DelayedMessage): Promise<void> {
    const { id, tenantId, clientId, username, topic, payload, qos, retain } = message
    const stored = { tenantId, clientId, username, channel: 'topic' as const, topic, receivedAt: now(), payload }
    await bus.uplink(stored, { deadlineMs: sendWithinMs })
    const sender = { tenantId, clientId, username }
    await driver.publish(tenantId, { topic, payload, qos, retain }, sender)
    onPublished(sender, { topic, payload, qos, retain })
    await store.remove(id)
    const count = await counts.get(tenantId)?.count.catch(() => undefined)
    if (count) count.waiting -= 1
  }

  function look(): void {
    working = sendDue()
      .catch((err) => log.warn({ err }, 'delayed messages not sent, trying again'))
      .then(() => {
        if (!isStopped) timer = setTimeout(look, lookEveryMs)
      })
  }

  return {
    async keep({ tenantId, clientId, username }, { seconds, topic }, { payload, qos, retain }) {
      const place = { dueAt: now() + seconds * 1000, seq: ++kept }
      const count = await waiting(tenantId)
      if (count.waiting >= maxWaiting) return false
      count.waiting += 1
      await store.insert({ id: newId(), tenantId, clientId, username, topic, payload, qos, retain, ...place })
      return true
    },
    start: look,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await working
    }
  }
}

/** Those of one sender keep their order. */
function bySender(messages: DelayedMessage[]): DelayedMessage[][] {
  const senders = new Map<string, DelayedMessage[]>()
  for (const message of messages) {
    const { clientId } = message
    senders.set(clientId, [...(senders.get(clientId) ?? []), message])
  }
  return [...senders.values()]
}
