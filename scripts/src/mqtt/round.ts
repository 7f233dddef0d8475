import { setTimeout as pause } from 'node:timers/promises'
import { until } from '@fleetgate/testkit'
import { type Broker, residentBytes } from './broker.js'
import { type Crowd, connectAll, createCrowd, type Member, subscribeAll } from './crowd.js'
import { fanOutPayload, fanOutTopic, reportOf, reportTopic } from './topics.js'

export interface Sizes {
  clients: number
  /** Reports of a fan-in, over all publishers. */
  messages: number
}

/** Times in milliseconds. */
export interface Figures {
  connectMs: number
  bytesPerClient: number
  /** Of QoS 0 and of QoS 1. */
  fanInMs: [number, number]
  fanOutMs: number
}

export const publishers = 100
export const fanOutMessages = 20

/** Messages of one publisher that wait for their acknowledgement. */
const window = 16
const settleMs = 2000
const waiting = { deadlineMs: 110_000, everyMs: 10 }

/** Connects the clients, measures, and leaves none of them; `whileConnected` comes last and counts in no figure. */
export async function runRound(
  broker: Broker,
  { clients, messages }: Sizes,
  whileConnected: (crowd: Crowd) => Promise<void>
): Promise<Figures> {
  const idle = residentBytes(broker)
  const crowd = createCrowd(broker, clients)
  try {
    const connectMs = await crowd.timed('connecting', () => connectAll(crowd))
    await crowd.timed('subscribing', () => subscribeAll(crowd, () => fanOutTopic))
    await pause(settleMs)
    const bytesPerClient = (residentBytes(broker) - idle) / clients
    const fanInMs: Figures['fanInMs'] = [
      await fanIn(broker, crowd, { messages, qos: 0 }),
      await fanIn(broker, crowd, { messages, qos: 1 })
    ]
    const fanOutMs = await fanOut(crowd)
    await whileConnected(crowd)
    return { connectMs, bytesPerClient, fanInMs, fanOutMs }
  } finally {
    crowd.close()
    await broker.settle()
  }
}

/** Until every report has arrived, and with QoS 1 is acknowledged too. */
async function fanIn(broker: Broker, crowd: Crowd, wish: { messages: number; qos: 0 | 1 }): Promise<number> {
  const { messages, qos } = wish
  const senders = crowd.members.slice(0, publishers)
  const sink = await crowd.within('preparing a fan-in', (onLost) => broker.openSink(onLost))
  const arrived = async () => (await sink.count()) >= messages
  try {
    return await crowd.timed(`${messages} reports with QoS ${qos}`, () => {
      const sent = senders.map((sender, index) => {
        const share = Math.ceil((messages - index) / senders.length)
        return publishReports(sender, share, qos)
      })
      return Promise.all([...sent, until(arrived, { what: `${broker.name} to have all reports`, ...waiting })])
    })
  } finally {
    sink.close()
  }
}

async function publishReports({ client, clientId }: Member, count: number, qos: 0 | 1): Promise<void> {
  let next = 1
  const lane = async () => {
    while (next <= count) await client.publish(reportTopic(clientId), reportOf(clientId, next++), qos)
  }
  await Promise.all(Array.from({ length: qos === 0 ? 1 : window }, lane))
}

/** Until every client has every message, QoS 1. */
async function fanOut({ members, publisher, within, timed }: Crowd): Promise<number> {
  await within('connecting the publisher', () => publisher.connect())
  const all = () => members.every(({ received }) => received >= fanOutMessages)
  return timed('fan-out', () => {
    const sent = Array.from({ length: fanOutMessages }, () => publisher.publish(fanOutTopic, fanOutPayload))
    return Promise.all([...sent, until(all, { what: 'every client to have every message', ...waiting })])
  })
}
