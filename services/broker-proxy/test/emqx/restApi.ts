import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Answer, answerList, pageOf } from './restLists.js'
import type { SessionOf } from './sessions.js'
import type { StandIn, StandInOptions } from './standIn.js'

export interface Call {
  method: string
  path: string[]
  query: URLSearchParams
  body: string
}

/** REST API v5 of EMQX 5.x: the operations that the driver uses, with their refusals. */
export async function answerRest(
  standIn: StandIn,
  options: StandInOptions,
  request: IncomingMessage,
  response: ServerResponse
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost')
  standIn.asked.push(`${request.method} ${url.pathname.replace('/api/v5', '')}`)
  if (standIn.faults.isSilent) return
  // First: who has waited long enough goes, and takes its request along.
  const sent = await read(request)
  await new Promise((resolve) => setTimeout(resolve, standIn.faults.delayMs ?? 0))
  const [status, body] = await decide(standIn, options, { request, url, body: sent })
  response.statusCode = status
  if (body === undefined) return void response.end()
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(body))
}

async function decide(
  standIn: StandIn,
  options: StandInOptions,
  { request, url, body }: { request: IncomingMessage; url: URL; body: string }
): Promise<Answer> {
  const { status } = standIn.faults
  if (status !== undefined) return [status, { code: 'INTERNAL_ERROR', message: 'switched on by the test' }]
  const basic = `Basic ${Buffer.from(`${options.apiKey}:${options.apiSecret}`).toString('base64')}`
  if (request.headers.authorization !== basic) {
    return [401, { code: 'BAD_API_KEY_OR_SECRET', message: 'Check api_key/api_secret' }]
  }
  const isRefused = body !== '' && request.headers['content-type'] !== 'application/json'
  if (isRefused && standIn.version >= 5.8) return [415]
  const [, api, v5, ...path] = url.pathname.split('/').map(decodeURIComponent)
  if (api !== 'api' || v5 !== 'v5') return [404, { code: 'NOT_FOUND', message: 'no such path' }]
  const call = { method: request.method ?? '', path, query: url.searchParams, body }
  return path[0] === 'clients' ? clients(standIn, call) : answerList(standIn, call)
}

async function clients(standIn: StandIn, { method, path, query, body }: Call): Promise<Answer> {
  const [, clientId, ...rest] = path
  if (clientId === undefined) return listClients(standIn, query)
  const one = standIn.sessions().find(({ client }) => client.id === clientId)
  if (!one) return [404, { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' }]
  switch (`${method} ${rest.join('/')}`) {
    case 'GET ':
      return [200, await rowOf(standIn, one)]
    case 'DELETE ':
      await standIn.kick(clientId)
      return [204]
    case 'GET subscriptions': {
      const found = await standIn.subscriptionsOf(one)
      return [200, found.map((row) => ({ clientid: clientId, ...row }))]
    }
    case 'POST subscribe': {
      const { topic, qos = 0 } = JSON.parse(body) as { topic: string; qos?: number }
      await standIn.subscribe(one, topic, qos)
      return [200, { clientid: clientId, topic, qos, node: standIn.node }]
    }
    case 'POST unsubscribe': {
      const { topic } = JSON.parse(body) as { topic: string }
      await standIn.unsubscribe(one, topic)
      return topic.startsWith('$share/') ? [500, { code: 'INTERNAL_ERROR', message: 'case_clause' }] : [204]
    }
    case 'POST unsubscribe/bulk':
      for (const { topic } of JSON.parse(body) as { topic: string }[]) await standIn.unsubscribe(one, topic)
      return [204]
    case 'DELETE authorization/cache':
      one.rights.remembered.clear()
      return [204]
    default:
      return [404, { code: 'NOT_FOUND', message: 'Request Path Not Found' }]
  }
}

async function listClients(standIn: StandIn, query: URLSearchParams): Promise<Answer> {
  const [username, state] = [query.get('username'), query.get('conn_state')]
  const found = standIn
    .sessions()
    .filter((one) => username === null || one.username === username)
    .filter((one) => state === null || one.isConnected === (state === 'connected'))
  // From 5.6 absent clients with durable sessions are listed too, whatever is asked for.
  const durable = standIn.version >= 5.6 ? standIn.absent : []
  const absent = durable.map((clientid) => ({ clientid, username: 'machine1', connected: false, port: null }))
  const rows = await Promise.all(found.map((one) => rowOf(standIn, one)))
  return pageOf(standIn, query, { rows: [...absent, ...rows], isCounted: true })
}

async function rowOf(standIn: StandIn, one: SessionOf) {
  const { client, username, connectedAt, disconnectedAt, keepalive, isConnected, rights } = one
  const time = (ms: number) => new Date(ms).toISOString().replace('Z', '+00:00')
  return {
    node: standIn.node,
    clientid: client.id,
    username: username === '' ? null : username,
    ip_address: '127.0.0.1',
    port: one.port,
    keepalive,
    proto_ver: client.version,
    clean_start: client.clean,
    connected: isConnected,
    connected_at: time(connectedAt),
    created_at: time(connectedAt),
    ...(isConnected ? {} : { disconnected_at: time(disconnectedAt ?? connectedAt) }),
    // Not every version says it.
    ...(standIn.version >= 5.1 ? { listener: rights.isSuperuser ? 'tcp:fleetgate' : 'tcp:default' } : {}),
    subscriptions_cnt: (await standIn.subscriptionsOf(one)).length,
    subscriptions_max: 'infinity',
    inflight_max: 32,
    awaiting_rel_cnt: 0,
    mqueue_dropped: 0,
    send_msg: 0,
    ...standIn.queued(client.id),
    ...standIn.counts.get(client.id)
  }
}

async function read(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}
