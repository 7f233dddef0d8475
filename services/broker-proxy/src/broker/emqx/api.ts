import { AppError, compile, type Static, Type } from '@fleetgate/contracts'
import { parseShared } from '../topics.js'
import type { Rest } from './rest.js'
import { createRows, epochMs, understood } from './rows.js'

/** A client as EMQX lists it. */
export interface EmqxClient {
  clientId: string
  username: string
  ip: string
  port: number
  keepalive: number
  protoVer: number
  clean: boolean
  /** Epoch ms. */
  connectedAt: number
}

/** A session as EMQX lists it: that of a connected client, or one kept for its return. */
export interface EmqxSession extends EmqxClient {
  isConnected: boolean
  /** Epoch ms; of one that waits for its client. */
  disconnectedAt: number
  /** Epoch ms. */
  createdAt: number
  /** Id of the listener, `tcp:default`; not every version says it. */
  listener: string | undefined
  subscriptions: number
  /** 0 = without a bound. */
  maxInflight: number
  inflight: number
  awaitingRel: number
  queued: number
  dropped: number
  delivered: number
}

export interface EmqxSubscription {
  clientId: string
  /** As it is in the broker, mountpoint and all; those of shared subscriptions as `$share/group/filter`. */
  filter: string
  qos: number
}

/** The operations of EMQX on clients and sessions. Rejects with AppError: see rest.ts. */
export interface EmqxApi {
  /** Every connected client; one that comes or goes meanwhile may be missing. */
  clients(): AsyncIterable<EmqxClient>
  client(clientId: string): Promise<EmqxClient | undefined>
  /** Every session, or those of one user name. */
  sessions(username?: string): AsyncIterable<EmqxSession>
  session(clientId: string): Promise<EmqxSession | undefined>
  allSubscriptions(): AsyncIterable<EmqxSubscription>
  /** Ends the connection and its session; nothing to do for one that is gone. */
  kick(clientId: string): Promise<void>
  /** Of a client that is gone, none. */
  subscriptions(clientId: string): Promise<EmqxSubscription[]>
  /** The filter as the client would write it: EMQX puts its mountpoint before it. `not_found` without such a session. */
  subscribe(clientId: string, wish: { filter: string; qos: number }): Promise<void>
  unsubscribe(clientId: string, filter: string): Promise<void>
  /** EMQX remembers what the authorizer said, 60 s by default. */
  forgetPermissions(clientId: string): Promise<void>
}

const Word = Type.Optional(Type.Union([Type.String(), Type.Null()]))
const Count = Type.Optional(Type.Union([Type.Integer(), Type.Null()]))
const Time = Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Null()]))
const Row = Type.Object({
  clientid: Type.String(),
  username: Word,
  ip_address: Word,
  port: Count,
  keepalive: Count,
  proto_ver: Count,
  clean_start: Type.Optional(Type.Boolean()),
  connected: Type.Optional(Type.Boolean()),
  connected_at: Time,
  created_at: Time,
  disconnected_at: Time,
  listener: Word,
  subscriptions_cnt: Count,
  /** A number, or "infinity". */
  inflight_max: Type.Optional(Type.Union([Type.Integer(), Type.String(), Type.Null()])),
  inflight_cnt: Count,
  awaiting_rel_cnt: Count,
  mqueue_len: Count,
  mqueue_dropped: Count,
  send_msg: Count
})
const SubscriptionRow = Type.Object({
  clientid: Type.String(),
  topic: Type.String(),
  qos: Type.Optional(Type.Integer())
})
const readRow = compile(Row)
const readSubscriptions = compile(Type.Array(SubscriptionRow))

export function createApi(rest: Rest): EmqxApi {
  const clientRows = createRows(rest, Row)
  const subscriptionRows = createRows(rest, SubscriptionRow)

  async function* clients(): AsyncIterable<EmqxClient> {
    // From 5.6 rows of absent clients with durable sessions come too, whatever conn_state says.
    for await (const row of clientRows('/clients', { conn_state: 'connected' })) {
      if (row.connected !== false) yield toClient(row)
    }
  }

  function rowOf(clientId: string): Promise<Static<typeof Row> | undefined> {
    return unlessGone(async () => understood(readRow, await rest.call('GET', pathOf(clientId))))
  }

  return {
    clients,
    async client(clientId) {
      const row = await rowOf(clientId)
      return row && row.connected !== false ? toClient(row) : undefined
    },
    async session(clientId) {
      const row = await rowOf(clientId)
      return row && toSessionRow(row)
    },
    async *sessions(username) {
      for await (const row of clientRows('/clients', username === undefined ? {} : { username }))
        yield toSessionRow(row)
    },
    async *allSubscriptions() {
      for await (const row of subscriptionRows('/subscriptions')) yield toSubscription(row)
    },
    kick: (clientId) => unlessGone(() => rest.call('DELETE', pathOf(clientId))).then(noop),
    subscriptions: async (clientId) => {
      const found = await unlessGone(() => rest.call('GET', `${pathOf(clientId)}/subscriptions`))
      return found === undefined ? [] : understood(readSubscriptions, found).map(toSubscription)
    },
    subscribe: (clientId, { filter, qos }) =>
      rest.call('POST', `${pathOf(clientId)}/subscribe`, { topic: filter, qos }).then(noop),
    unsubscribe: (clientId, topic) =>
      // For a shared one 5.4 does so and then answers 500; for a list it does not look at what it has done.
      unlessGone(() =>
        parseShared(topic)
          ? rest.call('POST', `${pathOf(clientId)}/unsubscribe/bulk`, [{ topic }])
          : rest.call('POST', `${pathOf(clientId)}/unsubscribe`, { topic })
      ).then(noop),
    forgetPermissions: (clientId) =>
      unlessGone(() => rest.call('DELETE', `${pathOf(clientId)}/authorization/cache`)).then(noop)
  }
}

const noop = () => undefined

function pathOf(clientId: string): string {
  return `/clients/${encodeURIComponent(clientId)}`
}

async function unlessGone<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return undefined
    throw error
  }
}

function toClient(row: Static<typeof Row>): EmqxClient {
  return {
    clientId: row.clientid,
    username: row.username ?? '',
    ip: row.ip_address ?? '',
    port: row.port ?? 0,
    keepalive: row.keepalive ?? 0,
    protoVer: row.proto_ver ?? 4,
    clean: row.clean_start ?? true,
    connectedAt: epochMs(row.connected_at)
  }
}

/** Counts of a session come with EMQX's next look at it: a young one has none. */
function toSessionRow(row: Static<typeof Row>): EmqxSession {
  return {
    ...toClient(row),
    isConnected: row.connected !== false,
    disconnectedAt: epochMs(row.disconnected_at),
    createdAt: epochMs(row.created_at ?? row.connected_at),
    listener: row.listener ?? undefined,
    subscriptions: row.subscriptions_cnt ?? 0,
    maxInflight: typeof row.inflight_max === 'number' ? row.inflight_max : 0,
    inflight: row.inflight_cnt ?? 0,
    awaitingRel: row.awaiting_rel_cnt ?? 0,
    queued: row.mqueue_len ?? 0,
    dropped: row.mqueue_dropped ?? 0,
    delivered: row.send_msg ?? 0
  }
}

function toSubscription({ clientid, topic, qos }: Static<typeof SubscriptionRow>): EmqxSubscription {
  return { clientId: clientid, filter: topic, qos: qos ?? 0 }
}
