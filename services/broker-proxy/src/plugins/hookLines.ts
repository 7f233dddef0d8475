import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '@fleetgate/contracts'
import type { Http } from '@fleetgate/kit/outbound'
import type { Hook } from './hookSettings.js'

export interface HookLines {
  /** `event` is made only where there is room for it. */
  tell(tenantId: string, hook: Hook, event: () => Record<string, unknown>): void
  /** Forgets what waits for a tenant's URL. */
  drop(tenantId: string): void
  /** Forgets everything. */
  stop(): void
}

export interface HookLineParts {
  http: Http
  log: Log
  /** An event that was not taken: the URL is away, or too slow. */
  onLost(): void
}

/** Of one tenant: events that wait, their size in characters (beside the last one), and requests at once. */
const maxWaiting = 1000
const maxWaitingSize = 8_000_000
const atOnce = 4
const timeoutMs = 5_000
const pausesMs = [1_000, 4_000]

interface Line {
  waiting: { hook: Hook; body: string }[]
  size: number
  running: number
  /** Ends its requests and pauses. */
  ending: AbortController
}

/**
 * Sends events to the URLs of tenants. Nobody waits for it: it works behind the broker's back, a few at a time, three tries
 * each, and what is too much is left out and counted.
 */
export function createHookLines({ http, log, onLost }: HookLineParts): HookLines {
  const lines = new Map<string, Line>()
  let isStopped = false

  function lineOf(tenantId: string): Line {
    const found = lines.get(tenantId) ?? { waiting: [], size: 0, running: 0, ending: new AbortController() }
    lines.set(tenantId, found)
    return found
  }

  async function work(tenantId: string, line: Line): Promise<void> {
    line.running += 1
    for (let next = line.waiting.shift(); next; next = line.waiting.shift()) {
      line.size -= next.body.length
      await send(tenantId, line, next)
    }
    line.running -= 1
    if (line.running === 0 && lines.get(tenantId) === line) lines.delete(tenantId)
  }

  async function send(tenantId: string, { ending }: Line, { hook, body }: Line['waiting'][number]): Promise<void> {
    for (const pause of [...pausesMs, undefined]) {
      const reason = await attempt(hook, body, ending.signal)
      if (reason === undefined || ending.signal.aborted) return
      if (pause === undefined) {
        onLost()
        log.warn({ tenantId, reason }, 'web hook did not take an event')
      } else {
        await delay(pause, undefined, { signal: ending.signal }).catch(() => undefined)
      }
    }
  }

  /** Why it was not taken. A 4xx will be one again. */
  async function attempt({ url, headers }: Hook, body: string, ending: AbortSignal): Promise<string | undefined> {
    try {
      const signal = AbortSignal.any([ending, AbortSignal.timeout(timeoutMs)])
      const own = { ...headers, 'content-type': 'application/json' }
      const { status } = await http({ method: 'POST', url, headers: own, body, signal })
      return status >= 500 || status === 429 ? `status ${status}` : undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  function end(tenantId: string, line: Line): void {
    lines.delete(tenantId)
    line.waiting = []
    line.ending.abort()
  }

  return {
    tell(tenantId, hook, event) {
      if (isStopped) return
      const line = lineOf(tenantId)
      if (line.waiting.length >= maxWaiting || line.size >= maxWaitingSize) return onLost()
      const body = JSON.stringify(event())
      line.waiting.push({ hook, body })
      line.size += body.length
      if (line.running < atOnce) void work(tenantId, line)
    },
    drop(tenantId) {
      const line = lines.get(tenantId)
      if (line) end(tenantId, line)
    },
    stop() {
      isStopped = true
      for (const [tenantId, line] of lines) end(tenantId, line)
    }
  }
}
