import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Connected, StandIn, StandInOptions } from './standIn.js'

interface Call {
  method: string
  path: string[]
  query: URLSearchParams
  body: string
}

type Answer = [status: number, body?: unknown]

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
  const [status, body] = await decide(standIn, options, request, url)
  response.statusCode = status
  if (body === undefined) return void response.end()
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(body))
}

async function decide(standIn: StandIn, options: StandInOptions, request: IncomingMessage, url: URL): Promise<Answer> {
  const { status } = standIn.faults
  if (status !== undefined) return [status, { code: 'INTERNAL_ERROR', message: 'switched on by the test' }]
  const basic = `Basic ${Buffer.from(`${options.apiKey}:${options.apiSecret}`).toString('base64')}`
  if (request.headers.authorization !== basic) {
    return [401, { code: 'BAD_API_KEY_OR_SECRET', message: 'Check api_key/api_secret' }]
  }
  const body = await read(request)
  if (body !== '' && request.headers['content-type'] !== 'application/json') return [415]
  const [, api, v5, ...path] = url.pathname.split('/').map(decodeURIComponent)
  if (api !== 'api' || v5 !== 'v5') return [404, { code: 'NOT_FOUND', message: 'no such path' }]
  return clients(standIn, { method: request.method ?? '', path, query: url.searchParams, body })
}

function clients(standIn: StandIn, { method, path, query, body }: Call): Answer {
  const [resource, clientId, ...rest] = path
  if (resource !== 'clients') return [404, { code: 'NOT_FOUND', message: 'Request Path Not Found' }]
  if (clientId === undefined) return list(standIn, query)
  const one = standIn.clients.get(clientId)
  if (!one) return [404, { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' }]
  switch (`${method} ${rest.join('/')}`) {
    case 'GET ':
      return [200, rowOf(one)]
    case 'DELETE ':
      standIn.kick(clientId)
      return [204]
    case 'GET subscriptions':
      return [
        200,
        Object.entries(one.client.subscriptions).map(([topic, { qos }]) => ({ clientid: clientId, topic, qos }))
      ]
    case 'POST unsubscribe':
      unsubscribe(one, standIn.mountOf(one) + (JSON.parse(body) as { topic: string }).topic)
      return [204]
    case 'DELETE authorization/cache':
      one.rights.remembered.clear()
      return [204]
    default:
      return [404, { code: 'NOT_FOUND', message: 'Request Path Not Found' }]
  }
}

function list(standIn: StandIn, query: URLSearchParams): Answer {
  const page = Number(query.get('page') ?? 1)
  const limit = Number(query.get('limit') ?? 100)
  if (!(page >= 1 && limit >= 1 && limit <= 1000)) return [400, { code: 'BAD_REQUEST', message: 'page_limit_invalid' }]
  const absent = standIn.absent.map((clientid) => ({ clientid, username: 'machine1', connected: false, port: null }))
  const rows = [...absent.map((row) => ({ ...row, port: 0 })), ...[...standIn.clients.values()].map(rowOf)]
  const data = rows.slice((page - 1) * limit, page * limit)
  return [200, { data, meta: { page, limit, count: rows.length, hasnext: page * limit < rows.length } }]
}

function rowOf({ client, username, connectedAt, keepalive }: Connected) {
  return {
    node: 'emqx@127.0.0.1',
    clientid: client.id,
    username: username === '' ? null : username,
    ip_address: '127.0.0.1',
    port: client.conn.remotePort ?? 0,
    keepalive,
    proto_ver: client.version,
    clean_start: client.clean,
    connected: true,
    connected_at: new Date(connectedAt).toISOString().replace('Z', '+00:00')
  }
}

function unsubscribe({ client }: Connected, topic: string): void {
  client.unsubscribe({ cmd: 'unsubscribe', messageId: 0, unsubscriptions: [topic] } as never, () => undefined)
}

async function read(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}
