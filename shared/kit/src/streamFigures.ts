import type { Bus, Log } from '@fleetgate/contracts'
import { Gauge, type Metrics } from './metrics.js'

interface Depth {
  stream: string
  messages: number
  bytes: number
  consumers: { durable: string; waiting: number }[]
}

/** Scrapers come every few seconds, several of them perhaps; NATS is asked this often at most. */
const keepMs = 5000

/**
 * How much lies in the streams and how much of it each durable consumer has still to read. The same in every replica: one
 * service of the product shows it. While NATS is away there are no figures rather than old ones.
 */
export function addStreamFigures({ registry }: Metrics, bus: Pick<Bus, 'manager' | 'isReady'>, log: Log): void {
  const registers = [registry]
  let known: { at: number; depths: Promise<Depth[]> } | undefined

  function depths(): Promise<Depth[]> {
    const at = performance.now()
    if (!known || at - known.at > keepMs) {
      known = { at, depths: bus.isReady() ? readDepths(bus).catch(giveUp) : Promise.resolve([]) }
    }
    return known.depths
  }

  function giveUp(err: unknown): Depth[] {
    log.debug({ err }, 'streams not measured')
    return []
  }

  const gauge = (name: string, help: string, labelNames: string[], show: (gauge: Gauge, depth: Depth) => void) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      async collect() {
        this.reset()
        for (const depth of await depths()) show(this, depth)
      }
    })

  gauge('stream_messages', 'Messages that a stream holds', ['stream'], (to, { stream, messages }) =>
    to.set({ stream }, messages)
  )
  gauge('stream_bytes', 'Bytes that a stream holds', ['stream'], (to, { stream, bytes }) => to.set({ stream }, bytes))
  gauge(
    'stream_consumer_waiting',
    'Messages that a durable consumer has not yet acknowledged',
    ['stream', 'consumer'],
    (to, { stream, consumers }) => {
      for (const { durable, waiting } of consumers) to.set({ stream, consumer: durable }, waiting)
    }
  )
}

async function readDepths({ manager }: Pick<Bus, 'manager'>): Promise<Depth[]> {
  const depths: Depth[] = []
  for await (const { config, state } of manager.streams.list()) {
    const consumers: Depth['consumers'] = []
    for await (const { config: own, num_pending, num_ack_pending } of manager.consumers.list(config.name)) {
      if (own.durable_name) consumers.push({ durable: own.durable_name, waiting: num_pending + num_ack_pending })
    }
    depths.push({ stream: config.name, messages: state.messages, bytes: state.bytes, consumers })
  }
  return depths
}
