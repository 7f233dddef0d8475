import type { QueuedPacket } from '../aedesParts.js'
import type { Entry } from './sessionState.js'

/** Sends one session's queue to its connection, in order. */
export interface Pump {
  push(entry: Entry): void
  stop(): void
}

/** Handed over at once; the rest waits until the socket has taken them. */
const width = 64
const sweepAfter = 1024

export type Deliver = (packet: QueuedPacket, done: () => void) => void

/** `entries`: what waited before the connection came; it goes first, as once more where it was sent before. */
export function createPump(entries: Iterable<Entry>, deliver: Deliver): Pump {
  let waiting = [...entries]
  let at = 0
  let busy = 0
  let stopped = false

  function run(): void {
    while (!stopped && busy < width && at < waiting.length) {
      const entry = waiting[at++]
      if (!entry || entry.state === 'gone' || entry.state === 'released') continue
      busy += 1
      deliver(packetOf(entry), () => {
        busy -= 1
        run()
      })
    }
    if (at > sweepAfter || at === waiting.length) {
      waiting = waiting.slice(at)
      at = 0
    }
  }

  run()
  return {
    push(entry) {
      waiting.push(entry)
      run()
    },
    stop() {
      stopped = true
      waiting = []
    }
  }
}

/** As aedes takes it; its broker id and counter are what it is found by again. */
function packetOf({ body, qos, id, state }: Entry): QueuedPacket {
  return {
    cmd: 'publish',
    brokerId: queueId,
    brokerCounter: body.seq,
    topic: body.topic,
    payload: body.payload,
    qos: qos as 1 | 2,
    retain: false,
    dup: state === 'sent',
    messageId: id || undefined
  }
}

/** The broker id of what comes from a queue. */
export const queueId = 'queue'
