import { setTimeout as delay } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { openSocket } from '../telemetry/openSocket.js'
import type { Ground, Load } from './load.js'
import { setKey } from './telemetry.js'

const sockets = 4
const againAfterMs = 200
const hearsWithinMs = 5_000

interface Listener {
  pushes: number
  newest: number
  close(): void
}

/** Web sockets that want a value which changes all the time, and come back whenever their connection ends. */
export function startSockets({ url, token, account, atEnd }: Ground): Load {
  const listeners = Array.from({ length: sockets }, () => listen(url, token))
  atEnd(() => {
    for (const listener of listeners) listener.close()
  })

  /** One that was connected all the time, and one that comes now. */
  async function deafOnes(): Promise<string[]> {
    const fresh = listen(url, token)
    const value = Date.now()
    const all = [...listeners, fresh]
    const end = Date.now() + hearsWithinMs
    while (Date.now() < end && !all.every(({ newest }) => newest >= value)) {
      await account.session.post('/entity/property/update', { exchange: { [setKey]: Date.now() } })
      await delay(againAfterMs)
    }
    fresh.close()
    return all.flatMap(({ newest }, index) =>
      newest >= value ? [] : [`${index < listeners.length ? `web socket ${index}` : 'a new web socket'} hears nothing`]
    )
  }

  return {
    counts: () => ({ 'pushes to web sockets': listeners.reduce((sum, { pushes }) => sum + pushes, 0) }),
    stop: async () => {},
    faults: deafOnes
  }
}

function listen(url: string, token: string): Listener {
  let socket: WebSocket | undefined
  let isOver = false
  const listener = {
    pushes: 0,
    newest: -1,
    close() {
      isOver = true
      socket?.terminate()
    }
  }

  async function connect(): Promise<void> {
    while (!isOver) {
      try {
        socket = await openSocket(url, token)
        break
      } catch {
        await delay(againAfterMs)
      }
    }
    if (isOver || !socket) return socket?.terminate()
    socket.on('message', (text) => {
      const value = JSON.parse(String(text)).payload?.values?.[setKey]?.value
      if (value === undefined) return
      listener.pushes += 1
      listener.newest = Number(value)
    })
    socket.once('close', () => void connect())
    socket.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [setKey], with_values: true } }))
  }

  void connect()
  return listener
}
