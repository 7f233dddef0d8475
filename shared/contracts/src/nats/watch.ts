import { AckPolicy, type ConsumerConfig, DeliverPolicy, nanos } from 'nats'
import type { Subscription } from '../bus.js'
import { newRequestId } from '../ids.js'
import type { ConsumerParts } from './consumer.js'
import { startPulling } from './pull.js'
import type { Pulled } from './pulled.js'
import { ensureStreams, isStreamMissing, type StreamName } from './streams.js'

export interface WatchOptions {
  stream: StreamName
  filter: string
  /** Epoch ms. */
  since: number
  /** Must not throw. */
  handle: (message: Pulled) => void
}

const room = 512
const forgottenAfterMs = 60_000

/**
 * Every message of a filter, in order and without a gap, for this process alone. The server forgets the consumer behind
 * it at every restart, so after each trouble a new one begins behind the last message seen.
 */
export async function startWatch(parts: ConsumerParts, options: WatchOptions): Promise<Subscription> {
  const { manager } = parts
  let lastSequence = 0
  let expected = 1
  let remaining = 0
  let consumer: string | undefined
  let isCaughtUp = () => {}
  const caughtUp = new Promise<void>((resolve) => {
    isCaughtUp = resolve
  })

  async function attach(): Promise<string> {
    try {
      if (consumer) await manager.consumers.delete(options.stream, consumer).catch(() => undefined)
      const { state } = await manager.streams.info(options.stream)
      // A stream that was made anew counts from 1 again.
      if (state.last_seq < lastSequence) lastSequence = 0
      const info = await manager.consumers.add(options.stream, configOf(options, lastSequence))
      consumer = info.name
      expected = 1
      remaining = info.num_pending
      if (remaining === 0) isCaughtUp()
      return consumer
    } catch (error) {
      if (isStreamMissing(error)) await ensureStreams(manager)
      throw error
    }
  }

  function receive(message: Pulled): void {
    if (message.deliverySequence < expected) return
    if (message.deliverySequence > expected) puller.restart()
    else accept(message)
  }

  function accept(message: Pulled): void {
    expected++
    lastSequence = message.sequence
    options.handle(message)
    if (--remaining === 0 || message.pending === 0) isCaughtUp()
  }

  const puller = await startPulling({
    link: parts.link,
    log: parts.log,
    stream: options.stream,
    attach,
    room: () => room,
    onMessage: receive
  })
  await caughtUp

  return {
    async stop() {
      await puller.stop()
      if (consumer && parts.link.isUp()) await manager.consumers.delete(options.stream, consumer).catch(() => undefined)
    }
  }
}

function configOf({ filter, since }: WatchOptions, lastSequence: number): Partial<ConsumerConfig> {
  return {
    name: `watch-${newRequestId()}`,
    filter_subject: filter,
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(forgottenAfterMs),
    ...(lastSequence > 0
      ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: lastSequence + 1 }
      : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(since).toISOString() })
  }
}
