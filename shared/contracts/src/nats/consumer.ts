import { setTimeout as sleep } from 'node:timers/promises'
import { AckPolicy, type ConsumerConfig, DeliverPolicy, type JetStreamManager, nanos } from 'nats'
import type { ConsumeOptions, Delivered, Log, Subscription } from '../bus.js'
import { continueOrigin, currentOrigin, originFields, originOfAll, withOrigin } from '../origin.js'
import type { Link } from './link.js'
import { type Puller, startPulling } from './pull.js'
import type { Pulled } from './pulled.js'
import { ensureStreams, isStreamMissing, isTakenName, type StreamName } from './streams.js'
import { headerNames, readOrigin } from './wire.js'

export interface ConsumerParts {
  link: Link
  manager: JetStreamManager
  log: Log
}

export interface DurableOptions<T> extends ConsumeOptions {
  stream: StreamName
  filters: string[]
  decode: (message: Pulled) => T
  handle: (batch: Delivered<T>[]) => Promise<void>
}

const defaultBatch = 256
const defaultAckWaitMs = 30_000
const firstRetryMs = 200
const longestRetryMs = 5_000

/**
 * A durable consumer: batches in stream order, the next one only after the last was handled. A batch that fails is
 * tried again here, held back from redelivery by +WPI, so that nothing overtakes it.
 */
export async function startConsumer<T>(parts: ConsumerParts, options: DurableOptions<T>): Promise<Subscription> {
  const { link, log } = parts
  const maxBatch = options.maxBatch ?? defaultBatch
  const ackWaitMs = options.ackWaitMs ?? defaultAckWaitMs
  // A little more than one batch, so that the next one is here when this one is done.
  const capacity = Math.max(16, 2 * maxBatch)
  const stopping = new AbortController()
  /** Everything taken and not finished, by place in the stream: a redelivery only renews the way to acknowledge it. */
  const held = new Map<number, Pulled>()
  const queue: number[] = []
  let work: Promise<void> | undefined

  function take(message: Pulled): void {
    const isNew = !held.has(message.sequence)
    held.set(message.sequence, message)
    if (isNew) queue.push(message.sequence)
    // Not at once: the rest of the same network packet belongs to the same batch.
    if (!work) work = new Promise<void>((resolve) => setImmediate(resolve)).then(drainQueue).catch(fail)
  }

  async function drainQueue(): Promise<void> {
    while (queue.length > 0 && !stopping.signal.aborted) {
      const sequences = queue.splice(0, maxBatch)
      const batch = decodeAll(sequences)
      if (batch.length > 0 && !(await withOrigin(originOfAll(batch), () => handleUntilDone(batch)))) break
      await link.whenUp(stopping.signal)
      for (const sequence of sequences) finish(sequence)
      puller?.more()
    }
    work = undefined
  }

  function fail(error: unknown): void {
    work = undefined
    log.error({ err: error, durable: options.durable }, 'consumer failed')
  }

  function decodeAll(sequences: number[]): Delivered<T>[] {
    const batch: Delivered<T>[] = []
    for (const sequence of sequences) {
      const message = held.get(sequence) as Pulled
      try {
        batch.push(toDelivered(options, message))
      } catch (error) {
        log.error({ err: error, durable: options.durable, subject: message.subject, sequence }, 'broken payload, ended')
        message.term('broken payload')
        held.delete(sequence)
      }
    }
    return batch
  }

  async function handleUntilDone(batch: Delivered<T>[]): Promise<boolean> {
    for (let pause = firstRetryMs; ; pause = Math.min(longestRetryMs, pause * 2)) {
      try {
        await options.handle(batch)
        batch.forEach(note)
        return true
      } catch (error) {
        log.warn({ err: error, durable: options.durable, messages: batch.length }, 'handler failed, trying again')
      }
      await sleep(pause, undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return false
      for (const delivered of batch) delivered.deliveries++
    }
  }

  /** One line for each message that somebody's request led to. */
  function note(message: Delivered<T>): void {
    const origin = currentOrigin() ?? continueOrigin(message)
    const { id, sequence } = message
    if (origin) log.debug({ durable: options.durable, id, sequence, ...originFields(origin) }, 'message handled')
  }

  function finish(sequence: number): void {
    held.get(sequence)?.ack()
    held.delete(sequence)
  }

  /** What is left goes to another replica, or to the next start, at once and in order. */
  async function giveBack(): Promise<void> {
    if (held.size === 0 || !link.isUp()) return
    // Asking makes the server drop our dead pull request; it would offer it the first message and put that last.
    await parts.manager.consumers.info(options.stream, options.durable).catch(() => undefined)
    for (const message of held.values()) message.nak()
    held.clear()
  }

  const keepAlive = setInterval(() => {
    if (link.isUp()) for (const message of held.values()) message.working()
  }, ackWaitMs / 3)

  let puller: Puller | undefined
  try {
    puller = await startPulling({
      link,
      log,
      stream: options.stream,
      attach: () => attach(parts.manager, options, ackWaitMs, capacity),
      room: () => (held.size <= capacity / 2 ? capacity - held.size : 0),
      onMessage: take
    })
  } catch (error) {
    clearInterval(keepAlive)
    throw error
  }

  return {
    async stop() {
      stopping.abort()
      await puller.stop()
      await work
      clearInterval(keepAlive)
      await giveBack()
    }
  }
}

async function attach<T>(
  manager: JetStreamManager,
  options: DurableOptions<T>,
  ackWaitMs: number,
  capacity: number
): Promise<string> {
  const { stream, durable, filters } = options
  const config: Partial<ConsumerConfig> = {
    durable_name: durable,
    filter_subjects: filters,
    deliver_policy: DeliverPolicy.All,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    max_deliver: -1,
    max_ack_pending: Math.max(1_000, 8 * capacity)
  }
  try {
    await manager.consumers.add(stream, config)
  } catch (error) {
    if (isStreamMissing(error)) await ensureStreams(manager)
    if (!isTakenName(error)) throw error
    await manager.consumers.update(stream, durable, config)
  }
  return durable
}

function toDelivered<T>(options: DurableOptions<T>, message: Pulled): Delivered<T> {
  return {
    data: options.decode(message),
    id: message.headers?.get(headerNames.messageId) || `${options.stream}:${message.sequence}`,
    sequence: message.sequence,
    deliveries: message.deliveries,
    storedAt: message.storedAt,
    ...readOrigin(message.headers)
  }
}
