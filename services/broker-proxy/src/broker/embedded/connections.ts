import type { BrokerRules, Session } from '../brokerDriver.js'
import { matches } from '../topics.js'
import type { AedesClient, AedesInside, DeliverPacket } from './aedesParts.js'
import type { Pace } from './pace.js'
import type { WireMeter } from './wireMeter.js'

export interface Connection {
  readonly client: AedesClient
  readonly session: Session
  readonly meter: WireMeter
  readonly deliver: DeliverPacket
  readonly pace: Pace
  /** Filters that it may have, below the mount point; a list, as most have one or two. */
  granted: string[]
  /** Known to aedes under its id. */
  registered: boolean
  reason: string
  ended: boolean
  /** Messages for topics that the client has not subscribed to yet. */
  held: { topic: string; release: () => void }[]
}

export interface Connections {
  of(client: object): Connection | undefined
  current(clientId: string): Connection | undefined
  all(): Iterable<Connection>
  readonly size: number
  add(connection: Connection): void
  end(connection: Connection): void
  /** To be called when aedes has dropped a client of this id. */
  repair(clientId: string, dropped: object): void
}

/** Our own list of connections: the broker's is keyed by id alone and loses entries when a client reconnects in a hurry. */
export function createConnections(rules: BrokerRules, inside: AedesInside): Connections {
  const byId = new Map<string, Connection>()
  const byClient = new WeakMap<object, Connection>()

  function end(connection: Connection): void {
    if (connection.ended) return
    connection.ended = true
    connection.held = []
    if (byId.get(connection.session.clientId) === connection) byId.delete(connection.session.clientId)
    rules.onDisconnected(connection.session, connection.reason)
    rules.watch.disconnected(connection.session, connection.reason)
  }

  return {
    of: (client) => byClient.get(client),
    current: (clientId) => byId.get(clientId),
    all: () => byId.values(),
    get size() {
      return byId.size
    },
    add(connection) {
      const older = byId.get(connection.session.clientId)
      if (older) {
        older.reason = 'taken over'
        end(older)
        older.client.close()
      }
      byId.set(connection.session.clientId, connection)
      byClient.set(connection.client, connection)
      rules.onConnected(connection.session)
      rules.watch.connected(connection.session)
    },
    end,
    /**
     * A client that comes back while its old connection is still closing is entered by aedes first and then removed with
     * the old one; without its entry it would not be closed at the next reconnect.
     */
    repair(clientId, dropped) {
      const current = byId.get(clientId)
      if (!current?.registered || current.client === dropped || current.client.closed || inside.clients[clientId])
        return
      inside.clients[clientId] = current.client
      inside.connectedClients += 1
    }
  }
}

/** Lets go of what was held for the filters that this client has now. */
export function releaseHeld(connection: Connection): void {
  const held = connection.held
  connection.held = []
  for (const item of held) {
    if (isReady(connection, item.topic)) item.release()
    else connection.held.push(item)
  }
}

/** Whether the client has its CONNACK and a filter for this topic; topic and filters stand below the mount point. */
export function isReady({ client }: Connection, topic: string): boolean {
  if (!client.connected) return false
  if (client.subscriptions[topic]) return true
  for (const filter of Object.keys(client.subscriptions)) if (matches(filter, topic)) return true
  return false
}
