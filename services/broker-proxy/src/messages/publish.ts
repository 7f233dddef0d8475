import { AppError } from '@fleetgate/contracts'
import type { BrokerDriver, InboundMessage } from '../broker/brokerDriver.js'
import { isSaneTopic } from '../broker/topics.js'

export interface PublishDraft {
  topic: string
  payload: string
  qos: 0 | 1 | 2
  retain: boolean
}

/**
 * Publishes to the subscribers of one tenant. A topic is a name: wildcards, `$` topics and the fleet's own topics (where
 * only machines and services speak) are refused with `invalid_state`.
 */
export function createPublish(driver: Pick<BrokerDriver, 'publish'>) {
  return async function publish(tenantId: string, draft: PublishDraft): Promise<void> {
    const { topic, payload, qos, retain } = draft
    if (!isName(topic)) throw new AppError('invalid_state', `validate topic: ${topic.slice(0, 200)} fail`)
    const message: InboundMessage = { topic, payload: Buffer.from(payload), qos, retain }
    await driver.publish(tenantId, message)
  }
}

function isName(topic: string): boolean {
  return isSaneTopic(topic) && !/[+#]/.test(topic) && !topic.startsWith('$') && !/^fleet(\/|$)/.test(topic)
}

export type Publish = ReturnType<typeof createPublish>
