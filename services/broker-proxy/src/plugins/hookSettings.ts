import { isFilter } from '../broker/topics.js'

/** What EMQ's emq_web_hook 2.3 can tell, each with the action that a rule for it names. */
export const hookEvents = {
  'client.connected': 'on_client_connected',
  'client.disconnected': 'on_client_disconnected',
  'client.subscribe': 'on_client_subscribe',
  'client.unsubscribe': 'on_client_unsubscribe',
  'session.created': 'on_session_created',
  'session.subscribed': 'on_session_subscribed',
  'session.unsubscribed': 'on_session_unsubscribed',
  'session.terminated': 'on_session_terminated',
  'message.publish': 'on_message_publish',
  'message.delivered': 'on_message_delivered',
  'message.acked': 'on_message_acked'
} as const

export type HookEvent = keyof typeof hookEvents

/** What a tenant wants to hear of, and where. */
export interface Hook {
  url: string
  headers: Record<string, string>
  isBase64: boolean
  /** Filters of topics by event; what has no topic ignores them. */
  rules: Partial<Record<HookEvent, string[]>>
}

/** The settings of EMQ's emq_web_hook 2.3. Throws an Error that names the setting. */
export function parseHook(settings: ReadonlyMap<string, string>): Hook {
  const url = settings.get('web.hook.api.url') ?? ''
  if (url !== '' && !(URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) {
    throw new Error('web.hook.api.url is no http or https URL')
  }
  const encoding = settings.get('web.hook.encode_payload') ?? 'plain'
  if (!['plain', 'base64'].includes(encoding)) throw new Error('web.hook.encode_payload is plain or base64')
  const hook: Hook = { url, headers: {}, isBase64: encoding === 'base64', rules: {} }
  for (const [key, value] of settings) {
    const [, header] = /^web\.hook\.headers\.(.+)$/.exec(key) ?? []
    if (header !== undefined) hook.headers[header] = checkedHeader(key, header, value)
    const [, event] = /^web\.hook\.rule\.(.+)\.[0-9]+$/.exec(key) ?? []
    if (event !== undefined) addRule(hook, { key, event: event as HookEvent, value })
  }
  return hook
}

/** What HTTP itself says with its headers: with one of these no request would leave. */
const ofHttp = ['connection', 'content-length', 'expect', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']

function checkedHeader(key: string, name: string, value: string): string {
  if (ofHttp.includes(name)) throw new Error(`${key} is a header that HTTP itself sets`)
  if (!/^[\u0020-\u007e\u00a0-\u00ff]*$/.test(value)) throw new Error(`${key} has characters that no header may have`)
  return value
}

function addRule(hook: Hook, { key, event, value }: { key: string; event: HookEvent; value: string }): void {
  const { action, topic = '#' } = parseRule(key, value)
  if (action !== hookEvents[event]) throw new Error(`${key}: the action is ${hookEvents[event]}`)
  if (typeof topic !== 'string' || !isFilter(topic)) throw new Error(`${key}: the topic is no filter`)
  hook.rules[event] = [...(hook.rules[event] ?? []), topic]
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
