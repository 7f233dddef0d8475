import { AppError, compile, Type } from '@fleetgate/contracts'
import type { Rest } from './rest.js'

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

/** The operations of EMQX that we need. Rejects with AppError: see rest.ts. */
export interface EmqxApi {
  /** Every connected client; one that comes or goes meanwhile may be missing. */
  clients(): AsyncIterable<EmqxClient>
  client(clientId: string): Promise<EmqxClient | undefined>
  /** Ends the connection and its session; nothing to do for one that is gone. */
  kick(clientId: string): Promise<void>
  /** Filters, those of shared subscriptions as `$share/group/filter`. */
  subscriptions(clientId: string): Promise<string[]>
  unsubscribe(clientId: string, filter: string): Promise<void>
  /** EMQX remembers what the authorizer said, 60 s by default. */
  forgetPermissions(clientId: string): Promise<void>
}

const Row = Type.Object({
  clientid: Type.String(),
  username: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  ip_address: Type.Optional(Type.String()),
  port: Type.Optional(Type.Integer()),
  keepalive: Type.Optional(Type.Integer()),
  proto_ver: Type.Optional(Type.Integer()),
  clean_start: Type.Optional(Type.Boolean()),
  connected: Type.Optional(Type.Boolean()),
  connected_at: Type.Optional(Type.Union([Type.String(), Type.Number()]))
})
const Page = Type.Object({
  data: Type.Array(Row),
  meta: Type.Object({ hasnext: Type.Optional(Type.Boolean()) })
})
const Subscriptions = Type.Array(Type.Object({ topic: Type.String() }))
const readPage = compile(Page)
const readRow = compile(Row)
const readSubscriptions = compile(Subscriptions)

/** The most that every version takes: 1000 until 5.4, 10,000 from 5.5. */
const pageSize = 1000
/** A broker that always says "there is more" must not keep us for ever. */
const maxPages = 10_000

export function createApi(rest: Rest): EmqxApi {
  async function* clients(): AsyncIterable<EmqxClient> {
    for (let page = 1; page <= maxPages; page++) {
      const path = `/clients?page=${page}&limit=${pageSize}&conn_state=connected`
      const { data, meta } = understood(readPage, await rest.call('GET', path))
      // From 5.6 rows of absent clients with durable sessions come too, whatever conn_state says.
      for (const row of data) if (row.connected !== false) yield toClient(row)
      if (!(meta.hasnext ?? data.length === pageSize)) return
    }
  }

  return {
    clients,
    client: (clientId) =>
      unlessGone(async () => {
        const row = understood(readRow, await rest.call('GET', pathOf(clientId)))
        return row.connected === false ? undefined : toClient(row)
      }),
    kick: (clientId) => unlessGone(() => rest.call('DELETE', pathOf(clientId))).then(noop),
    subscriptions: async (clientId) => {
      const found = await unlessGone(() => rest.call('GET', `${pathOf(clientId)}/subscriptions`))
      return found === undefined ? [] : understood(readSubscriptions, found).map(({ topic }) => topic)
    },
    unsubscribe: (clientId, topic) =>
      unlessGone(() => rest.call('POST', `${pathOf(clientId)}/unsubscribe`, { topic })).then(noop),
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

function understood<T>(read: (value: unknown) => T, value: unknown): T {
  try {
    return read(value)
  } catch (cause) {
    throw new AppError('unavailable', 'EMQX answered something unexpected', {}, { cause })
  }
}

function toClient(row: ReturnType<typeof readRow>): EmqxClient {
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

/** RFC 3339 with milliseconds and offset, or epoch ms. */
export function epochMs(value: string | number | undefined): number {
  const ms = typeof value === 'number' ? value : Date.parse(value ?? '')
  return Number.isFinite(ms) ? Math.trunc(ms) : 0
}
