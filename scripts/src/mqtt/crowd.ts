import { performance } from 'node:perf_hooks'
import { type BareClient, createBareClient } from '../fleet/bareClient.js'
import { createLoss, inLanes } from '../fleet/lanes.js'
import type { Broker } from './broker.js'

export interface Member {
  clientId: string
  client: BareClient
  /** Messages that it got. */
  received: number
}

/** Clients of one broker that stay connected for a round. */
export interface Crowd {
  members: Member[]
  /** Publishes to all others and is subscribed to nothing. */
  publisher: BareClient
  /** What this gives; rejects when a client is lost meanwhile, and after two minutes. */
  within<T>(what: string, work: (onLost: (reason: string) => void) => Promise<T>): Promise<T>
  /** How long that takes, milliseconds. */
  timed(what: string, work: () => Promise<unknown>): Promise<number>
  close(): void
}

const limitMs = 120_000
const pingMs = 45_000

/** Prepares clients that are not connected yet. */
export function createCrowd({ name, access }: Broker, count: number): Crowd {
  const loss = createLoss()
  const onLost = (reason: string) => loss.tell(`${name}: ${reason}`)
  const members = Array.from({ length: count }, (_, index) => {
    const clientId = `bench-${String(index + 1).padStart(5, '0')}`
    const onMessage = () => void member.received++
    const member: Member = {
      clientId,
      client: createBareClient({ ...access, clientId, onMessage, onLost }),
      received: 0
    }
    return member
  })
  const publisher = createBareClient({ ...access, clientId: 'bench-publisher', onLost })
  const clients = [publisher, ...members.map(({ client }) => client)]
  const pings = setInterval(() => clients.forEach((client) => void client.ping()), pingMs)
  const within: Crowd['within'] = (what, work) => inTime([work(onLost), loss.happened], `${name}: ${what}`)
  return {
    members,
    publisher,
    within,
    async timed(what, work) {
      const begun = performance.now()
      await within(what, work)
      return performance.now() - begun
    },
    close() {
      clearInterval(pings)
      for (const client of clients) client.close()
    }
  }
}

async function inTime<T>(work: Promise<T>[], what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${limitMs / 1000} s`)), limitMs)
  })
  try {
    return await Promise.race([...work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Connects all of them, a hundred at once. */
export function connectAll({ members }: Crowd): Promise<void> {
  return inLanes(members, ({ client }) => client.connect())
}

export function subscribeAll({ members }: Crowd, filterOf: (clientId: string) => string): Promise<void> {
  return inLanes(members, ({ client, clientId }) => client.subscribe(filterOf(clientId)))
}
