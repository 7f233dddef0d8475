import type { Log } from '@fleetgate/contracts'
import type { Http } from '@fleetgate/kit/outbound'
import type { InboundMessage, Session } from '../broker/brokerDriver.js'
import { isFilter, matches } from '../broker/topics.js'
import type { Switchboard } from './switchboard.js'

/** What a tenant wants to hear of, and where. */
export interface Hook {
  url: string
  headers: Record<string, string>
  isBase64: boolean
  connected: boolean
  disconnected: boolean
  /** Filters of messages. */
  published: string[]
}

const actions = {
  'client.connected': 'on_client_connected',
  'client.disconnected': 'on_client_disconnected',
  'message.publish': 'on_message_publish'
} as const

/** The settings of EMQ's emq_web_hook 2.3. Throws an Error that names the setting. */
export function parseHook(settings: ReadonlyMap<string, string>): Hook {
  const url = settings.get('web.hook.api.url') ?? ''
  if (url !== '' && !(URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) {
    throw new Error('web.hook.api.url is no http or https URL')
  }
  const encoding = settings.get('web.hook.encode_payload') ?? 'plain'
  if (!['plain', 'base64'].includes(encoding)) throw new Error('web.hook.encode_payload is plain or base64')
  const hook: Hook = {
    url,
    headers: {},
    isBase64: encoding === 'base64',
    connected: false,
    disconnected: false,
    published: []
  }
  for (const [key, value] of settings) {
    const [, header] = /^web\.hook\.headers\.(.+)$/.exec(key) ?? []
    if (header !== undefined) hook.headers[header] = checkedHeader(key, value)
    const [, event] = /^web\.hook\.rule\.(.+)\.[0-9]+$/.exec(key) ?? []
    if (event !== undefined) addRule(hook, { key, event: event as keyof typeof actions, value })
  }
  return hook
}

function checkedHeader(key: string, value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what a header must not have
  if (/[\u0000-\u001f\u007f]/.test(value)) throw new Error(`${key} has control characters`)
  return value
}

function addRule(hook: Hook, { key, event, value }: { key: string; event: keyof typeof actions; value: string }): void {
  const { action, topic = '#' } = parseRule(key, value)
  if (action !== actions[event]) throw new Error(`${key}: the action is ${actions[event]}`)
  if (event === 'client.connected') hook.connected = true
  else if (event === 'client.disconnected') hook.disconnected = true
  else if (typeof topic === 'string' && isFilter(topic)) hook.published.push(topic)
  else throw new Error(`${key}: the topic is no filter`)
}

function parseRule(key: string, value: string): { action?: unknown; topic?: unknown } {
  try {
    const rule: unknown = JSON.parse(value)
    if (typeof rule === 'object' && rule !== null) return rule
  } catch {
    // Told below, as everything else that is no object.
  }
  throw new Error(`${key} is no JSON object`)
}

export interface WebHook {
  connected(session: Session): void
  disconnected(session: Session, reason: string): void
  published(session: Session, message: InboundMessage): void
  /** Drops what waits. */
  stop(): void
}

export interface WebHookParts {
  switchboard: Pick<Switchboard, 'isOn' | 'settings'>
  http: Http
  log: Log
  now: () => number
  /** An event that was not taken: the URL is away, or too slow. */
  onLost(): void
}

const name = 'emqx_web_hook'
/** Of one tenant: events that wait, and requests at once. */
const maxWaiting = 1000
const atOnce = 4
const timeoutMs = 5_000
const pausesMs = [1_000, 4_000]

interface Line {
  waiting: { hook: Hook; body: string }[]
  running: number
}

/**
 * Tells a tenant's URL what happens, in the words of emq_web_hook 2.3. Nobody waits for it: events are sent behind the broker's
 * back, a few at a time, three tries each, and what is too much is left out and counted.
 */
export function createWebHook({ switchboard, http, log, now, onLost }: WebHookParts): WebHook {
  const hooks = new WeakMap<ReadonlyMap<string, string>, Hook>()
  const lines = new Map<string, Line>()
  const stopping = new AbortController()

  function hookOf(tenantId: string): Hook | undefined {
    if (!switchboard.isOn(tenantId, name)) return undefined
    const settings = switchboard.settings(tenantId, name)
    const known = hooks.get(settings)
    if (known) return known
    const made = parseHook(settings)
    hooks.set(settings, made)
    return made
  }

  function tell(tenantId: string, hook: Hook, event: Record<string, unknown>): void {
    const line = lines.get(tenantId) ?? { waiting: [], running: 0 }
    lines.set(tenantId, line)
    if (line.waiting.length >= maxWaiting) {
      onLost()
      return
    }
    line.waiting.push({ hook, body: JSON.stringify(event) })
    if (line.running < atOnce) void work(tenantId, line)
  }

  async function work(tenantId: string, line: Line): Promise<void> {
    line.running += 1
    for (let next = line.waiting.shift(); next && !stopping.signal.aborted; next = line.waiting.shift()) {
      await send(tenantId, next)
    }
    line.running -= 1
    if (line.running === 0 && line.waiting.length === 0) lines.delete(tenantId)
  }

  async function send(tenantId: string, { hook, body }: Line['waiting'][number]): Promise<void> {
    for (const pause of [...pausesMs, undefined]) {
      const reason = await attempt(hook, body)
      if (reason === undefined || stopping.signal.aborted) return
      if (pause === undefined) {
        onLost()
        log.warn({ tenantId, reason }, 'web hook did not take an event')
      } else {
        await waited(pause, stopping.signal)
      }
    }
  }

  /** Why it was not taken. A 4xx will be one again. */
  async function attempt({ url, headers }: Hook, body: string): Promise<string | undefined> {
    try {
      const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(timeoutMs)])
      const own = { ...headers, 'content-type': 'application/json' }
      const { status } = await http({ method: 'POST', url, headers: own, body, signal })
      return status >= 500 || status === 429 ? `status ${status}` : undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  return {
    connected({ tenantId, clientId, username, ip, keepalive, protoVer, connectedAt }) {
      const hook = hookOf(tenantId)
      if (!hook?.connected) return
      const facts = { ipaddress: ip, keepalive, proto_ver: protoVer, connected_at: seconds(connectedAt) }
      tell(tenantId, hook, { action: 'client_connected', client_id: clientId, username, ...facts, conn_ack: 0 })
    },

    disconnected({ tenantId, clientId, username }, reason) {
      const hook = hookOf(tenantId)
      if (hook?.disconnected)
        tell(tenantId, hook, { action: 'client_disconnected', client_id: clientId, username, reason })
    },

    published({ tenantId, clientId, username }, { topic, payload, qos, retain }) {
      const hook = hookOf(tenantId)
      if (!hook?.published.some((filter) => matches(filter, topic))) return
      tell(tenantId, hook, {
        action: 'message_publish',
        from_client_id: clientId,
        from_username: username,
        topic,
        qos,
        retain,
        payload: payload.toString(hook.isBase64 ? 'base64' : 'utf8'),
        ts: seconds(now())
      })
    },

    stop: () => stopping.abort()
  }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}

function waited(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true }
    )
  })
}
