import { AppError, type Log } from '@fleetgate/contracts'
import type { BrokerRules, Session } from '../brokerDriver.js'
import { ownIdPrefix } from './links.js'
import type { ArrivedTopic, TopicSpace } from './topicSpace.js'

export interface IntakeParts {
  space: TopicSpace
  identify(clientId: string): Promise<Session | undefined>
  rules: Pick<BrokerRules, 'onMessage'>
  maxPayloadBytes: number
  log: Log
}

const retryMs = 500
/** How long a message waits until somebody knows its sender: events of EMQX are late, not hours late. */
const unknownForMs = 30_000

/**
 * What EMQX hands us, on its way into the stream. Answers true when it needs no more care; until then it is tried again,
 * since EMQX would not send it again before the next connection.
 */
export function createIntake({ space, identify, rules, maxPayloadBytes, log }: IntakeParts) {
  async function senderOf(arrived: ArrivedTopic): Promise<Session | undefined> {
    const session = await identify(arrived.clientId)
    const isRight = arrived.tenantId === undefined || arrived.tenantId === session?.tenantId
    return isRight ? session : undefined
  }

  async function attempt(arrived: ArrivedTopic, payload: Buffer): Promise<'done' | 'unknown' | 'again'> {
    try {
      const session = await senderOf(arrived)
      if (!session) return 'unknown'
      const { topic, qos = 1, retain = false } = arrived
      await rules.onMessage(session, { topic, payload, qos, retain })
      return 'done'
    } catch (err) {
      const { clientId, topic } = arrived
      if (isRefusal(err)) {
        log.warn({ err, clientId, topic }, 'uplink message refused')
        return 'done'
      }
      log.warn({ err, clientId, topic }, 'uplink message not stored, trying again')
      return 'again'
    }
  }

  return async function take(topic: string, payload: Buffer, isStale: () => boolean): Promise<boolean> {
    const arrived = space.parse(topic)
    if (!arrived || arrived.clientId.startsWith(ownIdPrefix)) return true
    if (payload.length > maxPayloadBytes) {
      log.error(
        { topic, bytes: payload.length },
        'uplink message dropped: too large, lower mqtt.max_packet_size of EMQX'
      )
      return true
    }
    const giveUpAt = Date.now() + unknownForMs
    for (;;) {
      const outcome = await attempt(arrived, payload)
      if (outcome === 'done') return true
      if (isStale()) return false
      if (outcome === 'unknown' && Date.now() > giveUpAt) {
        log.error({ topic }, 'uplink message dropped: nobody knows its sender')
        return true
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }
}

/** What would be refused the next time too. */
function isRefusal(error: unknown): boolean {
  return error instanceof AppError && (error.code === 'forbidden' || error.code === 'invalid_input')
}
