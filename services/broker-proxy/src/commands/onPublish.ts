import {
  AppError,
  type Bus,
  type Log,
  oneByOne,
  type PublishMessage,
  publishMessage,
  type Subscription
} from '@fleetgate/contracts'
import type { Publish } from '../messages/publish.js'

export interface PublishParts {
  bus: Pick<Bus, 'consumeCommands'>
  publish: Publish
  log: Log
}

/**
 * Command `publish`: to the subscribers of one tenant, in order. Done once the broker has taken it; while it cannot, the
 * command stays in its stream. A topic that nobody may publish to would stay for ever, so it is dropped.
 */
export function onPublish({ bus, publish, log }: PublishParts): Promise<Subscription> {
  async function publishOne({ tenantId, topic, payload, qos }: PublishMessage): Promise<void> {
    try {
      await publish(tenantId, { topic, payload, qos, retain: false })
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'invalid_state') throw error
      log.warn({ tenantId, reason: error.message }, 'command publish dropped')
    }
  }

  return bus.consumeCommands(publishMessage, { durable: 'broker-proxy-publish', maxBatch: 64 }, (batch) =>
    oneByOne(batch, ({ data }) => publishOne(data))
  )
}
