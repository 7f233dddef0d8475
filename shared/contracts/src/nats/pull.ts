import { setTimeout as sleep } from 'node:timers/promises'
import { createInbox, type Msg, nanos, type Subscription } from 'nats'
import type { Log } from '../bus.js'
import type { Link } from './link.js'
import { type Pulled, readPulled } from './pulled.js'
import { isRefusal } from './streams.js'

export interface PullOptions {
  link: Link
  log: Log
  stream: string
  /** Makes sure of the consumer and answers its name; called at the start and again after every trouble. */
  attach: () => Promise<string>
  /** How many more messages there is room for; asked before each pull. */
  room: () => number
  onMessage: (message: Pulled) => void
}

export interface Puller {
  /** Asks for more if nothing is asked for; to be called when room was made. */
  more(): void
  /** Attaches anew. */
  restart(): void
  /** Takes no more messages; what was under way to this process has arrived when it resolves. */
  stop(): Promise<void>
}

const heartbeatMs = 5_000
const expiresMs = 30_000
const firstPauseMs = 50
const longestPauseMs = 1_000

/** Status codes that a pull request is answered with. */
const heartbeat = 100
const nothingThere = 404
const expired = 408

/**
 * Takes messages from a JetStream pull consumer with one open request at a time. The client library's own `consume()`
 * waits up to its request expiry (30 s) after a server restart before it asks again; this asks as soon as JetStream
 * answers. Resolves when the consumer was attached first; rejects when JetStream refuses its configuration.
 */
export async function startPulling(options: PullOptions): Promise<Puller> {
  const { link, log, stream } = options
  const { connection } = link
  let round = 0
  let inbox = ''
  let consumer = ''
  let subscription: Subscription | undefined
  let asked = 0
  let heardAt = 0
  let isStopped = false

  function more(): void {
    const room = options.room()
    if (isStopped || asked > 0 || room < 1 || !subscription || !link.isUp()) return
    asked = room
    heardAt = Date.now()
    const request = { batch: room, expires: nanos(expiresMs), idle_heartbeat: nanos(heartbeatMs) }
    connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), { reply: inbox })
  }

  function receive(message: Msg): void {
    heardAt = Date.now()
    if (message.subject === inbox) {
      receiveStatus(message.headers?.code ?? 0, message.headers?.description ?? '')
    } else {
      asked = Math.max(0, asked - 1)
      options.onMessage(readPulled(message))
      more()
    }
  }

  function receiveStatus(code: number, description: string): void {
    if (code === heartbeat) return
    asked = 0
    if (code === expired || code === nothingThere) {
      more()
    } else {
      // The consumer is not as it was: deleted, moved, or the server is going down.
      log.debug({ stream, consumer, code, description }, 'consumer interrupted')
      restart()
    }
  }

  function restart(): void {
    if (!isStopped) void begin(++round, false)
  }

  async function begin(mine: number, isFirst: boolean): Promise<void> {
    subscription?.unsubscribe()
    subscription = undefined
    asked = 0
    for (let pause = firstPauseMs; mine === round && !isStopped; pause = Math.min(longestPauseMs, pause * 2)) {
      try {
        if (!isFirst) await sleep(pause)
        await link.whenUp()
        if (isStopped) return
        const name = await options.attach()
        if (mine === round && !isStopped) open(name)
        return
      } catch (error) {
        if (isFirst && (connection.isClosed() || isRefusal(error))) throw error
        if (connection.isClosed()) return
        log.debug({ err: error, stream }, 'consumer not attached, trying again')
        isFirst = false
      }
    }
  }

  function open(name: string): void {
    consumer = name
    inbox = createInbox()
    subscription = connection.subscribe(inbox, {
      callback: (error, message) =>
        error ? log.error({ err: error, stream, consumer }, 'consumer refused') : receive(message)
    })
    more()
  }

  const forget = link.onReconnect(restart)
  const monitor = setInterval(() => {
    if (asked > 0 && link.isUp() && Date.now() - heardAt > 2.5 * heartbeatMs) restart()
  }, heartbeatMs)

  async function stop(): Promise<void> {
    isStopped = true
    forget()
    clearInterval(monitor)
    if (link.isUp()) await subscription?.drain()
    else subscription?.unsubscribe()
  }

  await begin(round, true).catch(async (error) => {
    await stop()
    throw error
  })
  return { more, restart, stop }
}
