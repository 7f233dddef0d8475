import {
  AppError,
  type Bus,
  type Deliver,
  deliver,
  downTopic,
  type Log,
  oneByOne,
  type Subscription
} from '@fleetgate/contracts'
import type { BrokerDriver, Session } from '../broker/brokerDriver.js'

export interface DeliverParts {
  bus: Pick<Bus, 'consumeCommands'>
  driver: Pick<BrokerDriver, 'session' | 'send' | 'isRemote'>
  onDelivered(count: number): void
  log: Log
}

/**
 * Command `deliver`: sends to the targets that are connected here and of the right tenant; the others are the sender's to
 * ask for again when they come. What is handed to a socket counts as done: agents answer with reports. A remote broker
 * has to acknowledge it first; until it does the command stays in its stream.
 */
export function onDeliver({ bus, driver, onDelivered, log }: DeliverParts): Promise<Subscription> {
  return bus.consumeCommands(deliver, { durable: 'broker-proxy', maxBatch: 64 }, async (batch) => {
    const sendings: Promise<void>[] = []
    await oneByOne(batch, ({ data }) => {
      const sent = deliverTo(driver, data)
      onDelivered(sent.length)
      const { channel, targets } = data
      log.debug({ channel, targets: targets.length, reached: sent.length }, 'command delivered')
      sendings.push(...sent)
    })
    if (driver.isRemote) await Promise.all(sendings)
  })
}

/** A slow socket must not hold up the queue: its message waits in the broker, not here. */
function deliverTo(driver: DeliverParts['driver'], { tenantId, channel, common, targets }: Deliver): Promise<void>[] {
  const sendings: Promise<void>[] = []
  for (const { clientId, own } of targets) {
    const session = driver.session(clientId)
    if (session?.tenantId !== tenantId) continue
    const payload = Buffer.from(JSON.stringify({ ...common, ...own }))
    const message = { topic: downTopic(clientId, channel), payload, qos: 1 as const }
    sendings.push(driver.send(session, message).then((isSent) => checkTaken(driver, session, isSent)))
  }
  return sendings
}

/** Who is gone asks again; who is still there and got nothing has a broker that is in trouble. */
function checkTaken(driver: DeliverParts['driver'], session: Session, isSent: boolean): void {
  if (!driver.isRemote || isSent || driver.session(session.clientId) !== session) return
  throw new AppError('unavailable', 'the broker has not taken a command')
}
