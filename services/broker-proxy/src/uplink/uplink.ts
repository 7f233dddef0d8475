import { AppError, type Bus, fileChannels, parseUpTopic, type UpChannel } from '@fleetgate/contracts'
import type { InboundMessage, Session, Verdict } from '../broker/brokerDriver.js'
import { createLane, type Lane } from '../broker/lane.js'
import type { DelayedWish } from '../plugins/delayed.js'
import type { Authority } from '../users/authority.js'

/** What a client publishes, on its way into the stream. */
export interface Uplink {
  /** Resolves when the message needs no more care from the sender; rejects where it must be sent again. */
  receive(session: Session, message: InboundMessage): Promise<Verdict>
}

/** The file protocol, which answers by itself and does not go through the stream. */
export interface FileChannel {
  upload(session: Session, message: InboundMessage): Promise<void>
  ask(session: Session, channel: UpChannel, payload: Buffer): Promise<void>
}

/** Messages that are published later, where the tenant wants them. */
export interface MaybeDelayed {
  /** Undefined where the topic asks for no such thing, or the tenant has switched it off. */
  wishOf(session: Session, topic: string): DelayedWish | undefined
  /** False where too many wait. */
  keep(session: Session, wish: DelayedWish, message: InboundMessage): Promise<boolean>
}

export interface UplinkParts {
  bus: Pick<Bus, 'uplink'>
  authority: Pick<Authority, 'mayPublish'>
  files: FileChannel
  delayed: MaybeDelayed
  now: () => number
  onStored(): void
  /** A message that goes on to subscribers. */
  onPublished(session: Session, message: InboundMessage): void
  onDenied(session: Session, topic: string): void
}

/** Messages of one client that are on their way to the stream at once. */
const width = 64
/** How long a message waits for NATS to come back before its client is told to send it again. */
const storeWithinMs = 20_000

const upOfAnyone = /^fleet\/[^/]+\/up(?:\/|$)/

export function createUplink(parts: UplinkParts): Uplink {
  const { bus, authority, files, delayed, now } = parts
  const streams = new WeakMap<Session, Lane>()
  // Files one after the other: a fin must see every segment that was sent before it.
  const fileLanes = new WeakMap<Session, Lane>()

  function laneOf(lanes: WeakMap<Session, Lane>, session: Session, width: number): Lane {
    const lane = lanes.get(session) ?? createLane(width)
    lanes.set(session, lane)
    return lane
  }

  async function store(session: Session, channel: UpChannel | 'topic', message: InboundMessage): Promise<void> {
    const { tenantId, clientId, username } = session
    const { topic, payload } = message
    const stored = { tenantId, clientId, username, channel, topic, receivedAt: now(), payload }
    await laneOf(streams, session, width).run(() => bus.uplink(stored, { deadlineMs: storeWithinMs }))
    parts.onStored()
  }

  return {
    async receive(session, message) {
      const { topic } = message
      if (topic.startsWith('$file/')) {
        await laneOf(fileLanes, session, 1).run(() => files.upload(session, message))
        return 'taken'
      }
      const channel = parseUpTopic(session.clientId, topic)
      if (channel && fileChannels.includes(channel)) {
        await laneOf(fileLanes, session, 1).run(() => files.ask(session, channel, message.payload))
        return 'taken'
      }
      const later = delayed.wishOf(session, topic)
      if (later) return takeForLater(session, later, message)
      if (!authority.mayPublish(session, topic)) return deny(session, topic)
      await store(session, channel ?? 'topic', message)
      if (channel) return 'taken'
      parts.onPublished(session, message)
      return 'forward'
    }
  }

  async function takeForLater(session: Session, wish: DelayedWish, message: InboundMessage): Promise<Verdict> {
    const isKept = authority.mayPublish(session, wish.topic) && (await delayed.keep(session, wish, message))
    return isKept ? 'taken' : deny(session, message.topic)
  }

  /**
   * MQTT 3.1.1 has no refusal of a PUBLISH. As with EMQX's default the message is acknowledged and dropped; a report
   * alone is never acknowledged unless it is stored, so its connection ends.
   */
  function deny(session: Session, topic: string): Verdict {
    parts.onDenied(session, topic)
    if (upOfAnyone.test(topic)) throw new AppError('forbidden', "publish refused: not this client's up topic")
    return 'taken'
  }
}
