import { AppError } from '@fleetgate/contracts'
import type { BrokerRules } from '../brokerDriver.js'
import type { BrokerControl } from '../brokerFacts.js'
import type { AedesClient, Persistence } from './aedesParts.js'
import type { Connection } from './connections.js'
import { mountPoint } from './hooks.js'
import type { RetainedMessages } from './retained.js'
import type { SessionBook, SessionRecord } from './sessionBook.js'
import type { SharedGroups } from './sharedGroups.js'

export interface ControlParts {
  book: SessionBook
  rules: Pick<BrokerRules, 'maySubscribe' | 'watch'>
  persistence: Pick<Persistence, 'addSubscriptions' | 'removeSubscriptions'>
  groups: Pick<SharedGroups, 'leave'>
  retained: Pick<RetainedMessages, 'setOn'>
  connectionOf(record: SessionRecord): Connection | undefined
}

/** Subscriptions made and ended from outside, of connected clients and of sessions that wait for theirs. */
export function createEmbeddedControl(parts: ControlParts): BrokerControl {
  const { book, rules, persistence } = parts

  function find(tenantId: string, clientId: string): SessionRecord {
    const record = book.find(clientId)
    if (record?.tenantId !== tenantId) throw new AppError('not_found', `Clientid: ${clientId} not found`)
    return record
  }

  async function subscribe(record: SessionRecord, filter: string, qos: 0 | 1 | 2): Promise<void> {
    const subscription = { topic: mountPoint(record) + filter, qos }
    const connection = parts.connectionOf(record)
    if (connection) {
      await called(connection, (done) => connection.client.subscribe(subscription, done))
      // aedes answers so too where the client has as many as it may.
      if (connection.client.subscriptions[subscription.topic]) return
      throw new AppError('forbidden', `${record.clientId} has as many subscriptions as it may`)
    }
    await persistence.addSubscriptions({ id: record.clientId }, [subscription])
    book.subscribed(record.session, filter, qos)
    rules.watch.subscribed(record.session, filter, qos)
  }

  async function unsubscribe(record: SessionRecord, filter: string): Promise<void> {
    const mounted = mountPoint(record) + filter
    const isEnding = record.subscriptions.has(filter)
    // What aedes ends without a packet it leaves in the kept session.
    if (!record.session.clean) await persistence.removeSubscriptions({ id: record.clientId }, [mounted])
    const connection = parts.connectionOf(record)
    if (connection) await called(connection, (done) => connection.client.unsubscribe(packetFor(mounted), done))
    // Of a connected client it is told as what the client does itself.
    else if (isEnding) rules.watch.unsubscribed(record.session, filter)
    parts.groups.leave(record.session, filter)
    book.unsubscribed(record.session, filter)
  }

  return {
    async subscribe(tenantId, clientId, { filter, qos }) {
      const record = find(tenantId, clientId)
      if (!rules.maySubscribe(record.session, filter)) {
        throw new AppError('forbidden', `${clientId} may not subscribe to ${filter.slice(0, 200)}`)
      }
      await subscribe(record, filter, qos)
    },

    unsubscribe: async (tenantId, clientId, filter) => unsubscribe(find(tenantId, clientId), filter),

    setRetaining: parts.retained.setOn,

    async dropForbidden(username) {
      for (const record of book.ofUser(username)) {
        const forbidden = [...record.subscriptions.keys()].filter((one) => !rules.maySubscribe(record.session, one))
        for (const filter of forbidden) await unsubscribe(record, filter)
      }
    }
  }
}

/** Without a packet id: nobody asked, so nothing is acknowledged. */
function packetFor(filter: string): Parameters<AedesClient['unsubscribe']>[0] {
  return { cmd: 'unsubscribe', unsubscriptions: [filter] }
}

/** Of a client that goes meanwhile aedes calls nobody back. */
function called(
  { client: { conn }, session }: Connection,
  run: (done: (error?: Error | null) => void) => void
): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new AppError('not_found', `Clientid: ${session.clientId} has just gone`))
    conn.once('close', gone)
    run((error) => {
      conn.off('close', gone)
      if (error) reject(error)
      else resolve()
    })
  })
}
