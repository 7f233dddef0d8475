import { AppError, type Caller, type Log, may } from '@fleetgate/kit'
import { WebSocket } from 'ws'
import type { Feeds, LiveValue } from './feeds.js'
import { errorFrame, exchangeFrame, readFrame, type Wanted } from './frames.js'

export interface ConnectionOptions {
  socket: WebSocket
  caller: Caller
  feeds: Feeds
  /** Who it is now; throws where the token is dead, `unavailable` where that cannot be said. */
  identify: () => Caller | Promise<Caller>
  /** Those of the keys that the caller may see. */
  visible: (keys: string[], caller: Caller) => Promise<string[]>
  /** Compared by identity: another one than before says that the caller may see other things. */
  rightsOf: (caller: Caller) => Promise<readonly unknown[]>
  log: Log
  now: () => number
}

export interface Connection {
  /** Looks whether its caller may go on, and at what; to be called about twice a second. Never rejects. */
  check(): Promise<void>
  /** Asks for a sign of life; ends a connection that gave none since the last time. */
  ping(): void
  end(code: number, reason: string): void
}

const anyOf = ['dashboard.view', 'dashboard.edit', 'entity_data.view', 'integration.view', 'device.view'] as const
/** Bytes that wait in a socket before news are put together for it. */
const highWater = 256 * 1024
const blockedForMs = 30_000
/** Entities that were not there yet are looked for again. */
const lookAgainMs = 15_000
const policyViolation = 1008

/** One websocket: what it wants, what of that it may see, and news on their way to it. */
export function createConnection(options: ConnectionOptions): Connection {
  const { socket, feeds, now } = options
  const { tenantId } = options.caller
  let caller = options.caller
  let wanted: Wanted = { keys: [], withValues: false }
  let rights: readonly unknown[] = []
  let resolvedAt = 0
  let isStale = false
  let resolving: Promise<void> | undefined
  let isAsked = false
  let isChecking = false
  let isAlive = true
  let blockedSince: number | undefined
  let isFlushing = false
  /** Of each key the newest news: a slow socket holds no more than it has subscribed to. */
  const pending = new Map<string, LiveValue>()
  const listener = {
    push(key: string, value: LiveValue): void {
      // Who wants the values gets each, as long as the socket takes them.
      if (wanted.withValues && pending.has(key)) flush()
      pending.set(key, value)
      if (isFlushing) return
      isFlushing = true
      setImmediate(flush)
    }
  }

  function flush(): void {
    isFlushing = false
    if (socket.readyState !== WebSocket.OPEN || isBlocked() || pending.size === 0) return
    socket.send(exchangeFrame(pending, wanted.withValues))
    pending.clear()
  }

  function isBlocked(): boolean {
    if (socket.bufferedAmount <= highWater) blockedSince = undefined
    else blockedSince ??= now()
    return blockedSince !== undefined
  }

  /** Who asks and takes no answers gets none: they would be kept for it without bound. */
  function answer(text: string): void {
    if (!isBlocked()) socket.send(text)
  }

  /** One question at a time, however fast a client changes its mind: what was wanted last counts. */
  function resolve(): Promise<void> {
    isStale = true
    isAsked = true
    resolving ??= follow()
    return resolving
  }

  async function follow(): Promise<void> {
    try {
      while (isAsked && socket.readyState === WebSocket.OPEN) {
        isAsked = false
        const { keys } = wanted
        const allowed = keys.length > 0 && may(caller, anyOf)
        const asking = [allowed ? options.visible(keys, caller) : [], options.rightsOf(caller)] as const
        const [found, seen] = await Promise.all(asking)
        if (!isAsked && socket.readyState === WebSocket.OPEN) await hear(found, seen)
      }
    } finally {
      resolving = undefined
    }
  }

  async function hear(found: string[], seen: readonly unknown[]): Promise<void> {
    await feeds.set(tenantId, listener, found)
    const isIn = new Set(found)
    for (const key of pending.keys()) if (!isIn.has(key)) pending.delete(key)
    rights = seen
    resolvedAt = now()
    isStale = isAsked
  }

  /** What may be seen is not known for now: until it is, nothing is. */
  async function hush(err: unknown): Promise<void> {
    options.log.debug({ err }, 'websocket not subscribed yet')
    isStale = true
    pending.clear()
    await feeds.set(tenantId, listener, []).catch(() => undefined)
  }

  function receive(text: string): void {
    isAlive = true
    try {
      const heard = readFrame(text)
      if (heard && 'heartbeat' in heard) answer(text)
      else if (heard) {
        wanted = heard.wanted
        resolve().catch(hush)
      }
    } catch (error) {
      answer(errorFrame(error instanceof AppError ? error.message : 'frame is no JSON'))
    }
  }

  async function look(): Promise<void> {
    try {
      const before = caller
      caller = await options.identify()
      if (wanted.keys.length === 0) return
      const seen = await options.rightsOf(caller)
      const isOther = may(caller, anyOf) !== may(before, anyOf) || seen.some((one, index) => one !== rights[index])
      if (isStale || isOther || now() - resolvedAt > lookAgainMs) await resolve()
    } catch (error) {
      if (isDead(error)) end(policyViolation, 'the token is not valid any more')
      else await hush(error)
    }
  }

  function end(code: number, reason: string): void {
    socket.close(code, reason)
    // Who does not answer a close is not waited for.
    setTimeout(() => socket.terminate(), 1000).unref()
  }

  socket.on('message', (data, isBinary) => {
    if (isBinary) answer(errorFrame('frames are text'))
    else receive(String(data))
  })
  socket.on('pong', () => {
    isAlive = true
  })
  socket.on('error', () => socket.terminate())
  socket.on('close', () => {
    pending.clear()
    feeds.set(tenantId, listener, []).catch(() => undefined)
  })

  return {
    async check() {
      if (blockedSince !== undefined) {
        flush()
        if (blockedSince !== undefined && now() - blockedSince > blockedForMs) return socket.terminate()
      }
      if (isChecking) return
      isChecking = true
      await look().finally(() => {
        isChecking = false
      })
    },
    ping() {
      if (!isAlive) return socket.terminate()
      isAlive = false
      socket.ping()
    },
    end
  }
}

function isDead(error: unknown): boolean {
  return error instanceof AppError && (error.code === 'unauthenticated' || error.code === 'token_expired')
}
