import { WebSocket } from 'ws'

/** A websocket of live values through the gateway, open; without a listener of its own an error ends it. */
export function openSocket(url: string, token: string): Promise<WebSocket> {
  const query = new URLSearchParams({ Authorization: `Bearer ${token}` })
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/websocket?${query}`)
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('open', () => resolve(socket.off('error', reject).on('error', () => socket.terminate())))
  })
}
