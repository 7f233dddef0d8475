import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import type { ServiceName } from '@fleetgate/contracts'
import { until } from '@fleetgate/testkit'
import { read, startBackend, startGateway, type Teardown } from './setup.js'

export interface Outcome {
  status: number
  body: string
  socket?: Socket
  headers: IncomingMessage['headers']
}

/** A handshake; answers the joined socket or the refusal. */
export function shake(port: number, path: string, headers: Record<string, string> = {}): Promise<Outcome> {
  const handshake = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': 'eA==',
    'sec-websocket-version': '13'
  }
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, path, headers: { ...handshake, ...headers } })
    outgoing.on('upgrade', (res, socket: Socket) => resolve({ status: 101, body: '', socket, headers: res.headers }))
    outgoing.on('response', (res) => {
      read(res).then((body) => resolve({ status: res.statusCode ?? 0, body, headers: res.headers }), reject)
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}

/** A devices service that echoes bytes, or refuses the handshake of a path with `refuse` in its query. */
export async function startEcho(t: Teardown) {
  const handshakes: IncomingMessage[] = []
  const open = new Set<Socket>()
  const backend = await startBackend(t, (req, res) => res.end(`plain ${req.url} ${req.headers.upgrade}`))
  backend.server.on('upgrade', (req: IncomingMessage, socket: Socket) => {
    handshakes.push(req)
    socket.on('error', () => {})
    if (req.url?.includes('refuse')) {
      const body = 'not you'
      socket.end(`HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n${body.length}\r\n${body}\r\n0\r\n\r\n`)
      return
    }
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\nhello'
    )
    socket.pipe(socket)
  })
  const gateway = await startGateway(t, { services: { devices: backend.url } as Record<ServiceName, string> })
  return { ...gateway, handshakes, open, backend }
}

export async function hear(socket: Socket, text: string): Promise<void> {
  let heard = ''
  socket.on('data', (chunk) => {
    heard += chunk
  })
  await until(() => heard.includes(text), { what: `hearing ${text}` })
}
