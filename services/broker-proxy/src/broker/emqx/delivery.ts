import type { Log } from '@fleetgate/contracts'
import type { Message, Session } from '../brokerDriver.js'
import type { Lane } from '../lane.js'
import { matches } from '../topics.js'
import type { EmqxApi } from './api.js'
import type { ClientRegister } from './clientRegister.js'
import type { Publishers } from './links.js'
import type { TopicSpace } from './topicSpace.js'

/** To one client: false where it is gone or EMQX has not acknowledged. */
export type Deliver = (session: Session, message: Message) => Promise<boolean>

/** A connection this young may not have subscribed yet; EMQX would drop what nobody has subscribed to. */
const youngMs = 5_000
const askEveryMs = 200

export function createDeliver(parts: {
  publishers: () => Publishers
  register: ClientRegister
  api: Pick<EmqxApi, 'subscriptions'>
  space: TopicSpace
  lane: Lane
  log: Log
}): Deliver {
  const { publishers, register, api, space, lane, log } = parts
  const ready = new WeakMap<Session, Promise<void>>()
  const isCurrent = (session: Session) => register.of(session.clientId) === session

  /** Until the client has a filter for the topic, or is not young any more. */
  async function untilReady(session: Session, topic: string): Promise<void> {
    const giveUpAt = session.connectedAt + youngMs
    while (isCurrent(session) && Date.now() < giveUpAt) {
      const filters = await lane.run(() => api.subscriptions(session.clientId))
      if (filters.some(({ filter }) => matches(space.asWritten(session.tenantId, filter), topic))) return
      await new Promise((resolve) => setTimeout(resolve, askEveryMs))
    }
  }

  function whenReady(session: Session, topic: string): Promise<void> {
    const waiting = ready.get(session) ?? untilReady(session, topic)
    ready.set(session, waiting)
    return waiting
  }

  return async (session, message) => {
    if (!isCurrent(session)) return false
    try {
      const isYoung = Math.abs(Date.now() - session.connectedAt) < youngMs
      if (isYoung) await whenReady(session, message.topic)
      if (!isCurrent(session)) return false
      const topic = space.prefixOf(session.tenantId) + message.topic
      await publishers().publish({ ...message, topic, retain: false })
      return true
    } catch (err) {
      ready.delete(session)
      log.warn({ err, clientId: session.clientId, topic: message.topic }, 'not delivered to EMQX')
      return false
    }
  }
}
