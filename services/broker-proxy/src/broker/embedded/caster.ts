import { castFilter, parseCastTopic } from '@fleetgate/contracts'
import type { Message } from '../brokerDriver.js'
import type { Connection, Connections } from './connections.js'
import { mountPoint } from './hooks.js'

export interface CasterParts {
  connections: () => Connections
  publish(connection: Connection, message: Message): Promise<boolean>
}

/** Bytes that may wait for one socket; a member with more of them misses the next block, and asks for it later. */
const maxWaitingBytes = 1024 * 1024
/** How long a block is waited for; a socket that takes nothing must not hold up the others. */
const patienceMs = 1_000

/**
 * One message to all members of a cast in this process, past the broker's routing, where one frozen member would hold up all.
 * The payload is held once, whatever their number. Resolves when it has left for all who took it, or after a moment.
 */
export function createCaster({ connections, publish }: CasterParts) {
  return async function cast(tenantId: string, message: Message): Promise<void> {
    const castId = parseCastTopic(message.topic)?.castId
    if (castId === undefined) throw new Error(`${message.topic} is no topic of a cast`)
    const filter = mountPoint({ tenantId }) + castFilter(castId)
    const sendings: Promise<boolean>[] = []
    for (const connection of connections().all()) {
      const { client, session } = connection
      if (session.tenantId !== tenantId || !client.subscriptions[filter]) continue
      if (client.conn.writableLength <= maxWaitingBytes) sendings.push(publish(connection, message))
    }
    await within(patienceMs, Promise.all(sendings))
  }
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, limit]).finally(() => clearTimeout(timer))
}
