import { type Session, until } from '@fleetgate/testkit'
import type { WebSocket } from 'ws'
import type { LoggedIn } from '../demo/account.js'
import { post } from '../demo/client.js'
import { openSocket } from '../telemetry/openSocket.js'

export interface Heard {
  written: number
  /** Values that reached a socket, over all sockets. */
  pushes: number
  reconnects: number
  /** Values that a socket should have heard: between two that it heard on one connection. */
  missed: string[]
}

export interface Listeners {
  /** Writes on until every socket hears, then compares. */
  finish(): Promise<Heard>
}

const againAfterMs = 50
const deadlineMs = 60_000

interface Exchange {
  event_type: string
  payload: { values?: Record<string, { value: number }> }
}

/** Websockets that want one value which counts up, and come back whenever their connection is closed. */
export async function startListeners(
  { session, token }: Pick<LoggedIn, 'session' | 'token'>,
  url: string,
  { count, writeEveryMs = 10 }: { count: number; writeEveryMs?: number }
): Promise<Listeners> {
  const key = await makeCounter(session)
  const listeners = Array.from({ length: count }, () => listen({ url, token, key }))
  let written = 0
  let isWriting = true

  async function write(): Promise<void> {
    while (isWriting) {
      await post(session, '/entity/property/update', { exchange: { [key]: written + 1 } })
      written += 1
      await new Promise((resolve) => setTimeout(resolve, writeEveryMs))
    }
  }

  const writing = write()
  // A subscription is not answered: that a value comes shows that it counts.
  await allHear(listeners, () => 0)
  return {
    async finish() {
      const now = written
      await allHear(listeners, () => now)
      isWriting = false
      await writing
      await allHear(listeners, () => written - 1)
      for (const { close } of listeners) close()
      const connections = listeners.flatMap(({ connections: all }, socket) => all.map((heard) => ({ socket, heard })))
      return {
        written,
        pushes: connections.reduce((sum, { heard }) => sum + heard.size, 0),
        reconnects: connections.length - count,
        missed: connections.flatMap(({ socket, heard }) => gapsOf(heard).map((value) => `socket ${socket}: ${value}`))
      }
    }
  }
}

async function makeCounter(session: Session): Promise<string> {
  const identifier = `rolling-${Date.now()}`
  const entity = { identifier, name: identifier, type: 'PROPERTY', access_mod: 'RW', value_type: 'LONG' }
  await post(session, '/entity', entity)
  return `system.integration.${identifier}`
}

async function allHear(listeners: Listener[], above: () => number): Promise<void> {
  const isThere = () => listeners.every(({ newest }) => newest() > above())
  await until(isThere, { what: 'every websocket to hear of the value', deadlineMs, everyMs: 20 })
}

interface Listener {
  /** What each of its connections heard, in the order of the connections. */
  connections: Set<number>[]
  /** On the present connection; nothing yet is -1. */
  newest(): number
  close(): void
}

function listen({ url, token, key }: { url: string; token: string; key: string }): Listener {
  const connections: Set<number>[] = []
  let socket: WebSocket | undefined
  let newest = -1
  let isOver = false

  async function connect(): Promise<void> {
    for (;;) {
      try {
        socket = await openSocket(url, token)
        break
      } catch {
        if (isOver) return
        await new Promise((resolve) => setTimeout(resolve, againAfterMs))
      }
    }
    const heard = new Set<number>()
    connections.push(heard)
    newest = -1
    socket.on('message', (text) => {
      const value = (JSON.parse(String(text)) as Exchange).payload.values?.[key]?.value
      if (value === undefined) return
      heard.add(Number(value))
      newest = Number(value)
    })
    socket.once('close', () => {
      newest = -1
      if (!isOver) void connect()
    })
    socket.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [key], with_values: true } }))
  }

  void connect()
  return {
    connections,
    newest: () => newest,
    close() {
      isOver = true
      socket?.terminate()
    }
  }
}

/** Values between the first and the last one heard that did not come. */
function gapsOf(heard: ReadonlySet<number>): number[] {
  const values = [...heard]
  const gaps: number[] = []
  for (let value = Math.min(...values); value < Math.max(...values); value += 1) if (!heard.has(value)) gaps.push(value)
  return gaps
}
