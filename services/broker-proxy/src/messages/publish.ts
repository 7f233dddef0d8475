import { AppError } from '@fleetgate/contracts'
import type { BrokerDriver, InboundMessage, Sender } from '../broker/brokerDriver.js'
import { isSaneTopic } from '../broker/topics.js'

export interface PublishDraft {
  topic: string
  payload: string
  qos: 0 | 1 | 2
  retain: boolean
}

export interface PublishParts {
  driver: Pick<BrokerDriver, 'publish'>
  /** It was passed on to subscribers. */
  onPublished(sender: Sender, message: InboundMessage): void
}

/**
 * Publishes to the subscribers of one tenant. A topic is a name: wildcards, `$` topics and the fleet's own topics (where
 * only machines and services speak) are refused with `invalid_state`. `clientId`: the sender to be named.
 */
export function createPublish({ driver, onPublished }: PublishParts) {
  return async function publish(tenantId: string, draft: PublishDraft, clientId = ''): Promise<void> {
    const { topic, payload, qos, retain } = draft
    if (!isName(topic)) throw new AppError('invalid_state', `validate topic: ${topic.slice(0, 200)} fail`)
    const message: InboundMessage = { topic, payload: Buffer.from(payload), qos, retain }
    const sender = { tenantId, clientId, username: '' }
    await driver.publish(tenantId, message, sender)
    onPublished(sender, message)
  }
}

function isName(topic: string): boolean {
  return isSaneTopic(topic) && !/[+#]/.test(topic) && !topic.startsWith('$') && !/^fleet(\/|$)/.test(topic)
}

export type Publish = ReturnType<typeof createPublish>
