import type { IncomingMessage, Server } from 'node:http'
import { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'

/** `mqttv3.1` is what clients of MQTT 3.1 name. */
const subprotocols = ['mqtt', 'mqttv3.1']
const paths = ['/', '/mqtt']
const maxFrameBytes = 1_100_000

/** MQTT over WebSocket (MQTT 3.1.1, section 6): binary frames, subprotocol `mqtt`; paths `/mqtt`, as EMQ has it, and `/`. */
export function serveWebSockets(server: Server, accept: (stream: Duplex) => void): void {
  const sockets = new WebSocketServer({
    server,
    maxPayload: maxFrameBytes,
    perMessageDeflate: false,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
    verifyClient: ({ req }: { req: IncomingMessage }) => isMqtt(req)
  })
  sockets.on('connection', (socket, request) => accept(streamOf(socket, request)))
  server.on('request', (_request, response) =>
    response.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end()
  )
  // Broken requests: node answers them and closes.
  server.on('tlsClientError', (_error: Error, socket: Duplex) => socket.destroy())
}

function isMqtt({ url = '', headers }: IncomingMessage): boolean {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  return paths.includes(url.split('?')[0] ?? '') && offered.some((name) => subprotocols.includes(name))
}

/** What aedes takes for a socket. Everything written in one go leaves in one frame. */
function streamOf(socket: WebSocket, { socket: { remoteAddress, remotePort } }: IncomingMessage): Duplex {
  const stream = new Duplex({
    read() {
      socket.resume()
    },
    write: (chunk: Buffer, _encoding, done) => socket.send(chunk, done),
    writev: (chunks, done) => socket.send(Buffer.concat(chunks.map(({ chunk }) => bytesOf(chunk))), done),
    final(done) {
      socket.close()
      done()
    },
    destroy(error, done) {
      socket.terminate()
      done(error)
    }
  })
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) stream.destroy(new Error('text frame'))
    else if (!stream.push(data)) socket.pause()
  })
  socket.on('close', () => {
    stream.push(null)
    stream.destroy()
  })
  socket.on('error', (error) => stream.destroy(error))
  return Object.assign(stream, { remoteAddress, remotePort })
}

function bytesOf(chunk: Buffer | string): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}
