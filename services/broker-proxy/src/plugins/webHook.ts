import type { Log } from '@fleetgate/contracts'
import type { BrokerWatch, InboundMessage, Sender } from '../broker/brokerDriver.js'
import { matches } from '../broker/topics.js'
import { createHookLines, type HookLineParts } from './hookLines.js'
import { type Hook, type HookEvent, parseHook } from './hookSettings.js'
import type { Switchboard } from './switchboard.js'

export interface WebHook extends BrokerWatch {
  published(sender: Sender, message: InboundMessage): void
  /** The tenant has switched or set it. */
  changed(tenantId: string): void
  /** Drops what waits. */
  stop(): void
}

export interface WebHookParts extends HookLineParts {
  switchboard: () => Pick<Switchboard, 'isOn' | 'settings'>
  log: Log
  now: () => number
}

const name = 'emqx_web_hook'
const nobody = { clientId: '', username: '' }

/** Tells a tenant's URL what happens, in the words of emq_web_hook 2.3. What nobody wants to hear of costs a look into a map. */
export function createWebHook({ switchboard, log, now, ...parts }: WebHookParts): WebHook {
  /** Of those tenants that have it on. */
  const hooks = new Map<string, Hook>()
  const lines = createHookLines({ log, ...parts })

  function wanting({ tenantId }: Sender, event: HookEvent, topic?: string): Hook | undefined {
    const hook = hooks.get(tenantId)
    const filters = hook?.rules[event]
    if (!filters) return undefined
    return topic === undefined || filters.some((filter) => matches(filter, topic)) ? hook : undefined
  }

  /**
   * Of messages to clients. What the product says to its machines, blocks of files too, is meant only by a filter that begins
   * with its topics.
   */
  function wantingMessage({ tenantId }: Sender, event: HookEvent, topic: string): Hook | undefined {
    const hook = hooks.get(tenantId)
    const isOurs = topic.startsWith('fleet/')
    const isMeant = (filter: string) => matches(filter, topic) && (!isOurs || filter.startsWith('fleet/'))
    return hook?.rules[event]?.some(isMeant) ? hook : undefined
  }

  function tellOf(client: Sender, event: HookEvent, { topic, ...facts }: { topic?: string; [more: string]: unknown }) {
    const { tenantId, clientId, username } = client
    const hook = wanting(client, event, topic)
    const body = { action: actionOf(event), client_id: clientId, username, ...(topic !== undefined && { topic }) }
    if (hook) lines.tell(tenantId, hook, () => ({ ...body, ...facts }))
  }

  function messageFacts(hook: Hook, from: Omit<Sender, 'tenantId'>, message: InboundMessage) {
    const { topic, qos, retain, payload } = message
    const text = payload.toString(hook.isBase64 ? 'base64' : 'utf8')
    const sender = { from_client_id: from.clientId, from_username: from.username }
    return { ...sender, topic, qos, retain, payload: text, ts: seconds(now()) }
  }

  function tellMessage(event: HookEvent): BrokerWatch['delivered'] {
    return (session, message, from = { tenantId: session.tenantId, ...nobody }) => {
      const { tenantId, clientId, username } = session
      const hook = wantingMessage(session, event, message.topic)
      const to = { action: actionOf(event), client_id: clientId, username }
      if (hook) lines.tell(tenantId, hook, () => ({ ...to, ...messageFacts(hook, from, message) }))
    }
  }

  function parsed(tenantId: string): Hook | undefined {
    const { isOn, settings } = switchboard()
    try {
      return isOn(tenantId, name) ? parseHook(settings(tenantId, name)) : undefined
    } catch (err) {
      // Set by another version of this service.
      log.warn({ err, tenantId }, 'web hook has settings that are not known')
      return undefined
    }
  }

  return {
    connected(session) {
      const { ip, keepalive, protoVer, connectedAt } = session
      const facts = { ipaddress: ip, keepalive, proto_ver: protoVer, connected_at: seconds(connectedAt) }
      tellOf(session, 'client.connected', { ...facts, conn_ack: 0 })
    },
    disconnected: (client, reason) => tellOf(client, 'client.disconnected', { reason }),
    sessionCreated: (session) => tellOf(session, 'session.created', {}),
    sessionTerminated: (session, reason) => tellOf(session, 'session.terminated', { reason }),
    subscribing: (client, topic, qos) => tellOf(client, 'client.subscribe', { topic, opts: { qos } }),
    subscribed: (client, topic, qos) => tellOf(client, 'session.subscribed', { topic, opts: { qos } }),
    unsubscribing: (client, topic) => tellOf(client, 'client.unsubscribe', { topic }),
    unsubscribed: (client, topic) => tellOf(client, 'session.unsubscribed', { topic }),

    published(sender, message) {
      const { tenantId } = sender
      const hook = wanting(sender, 'message.publish', message.topic)
      const told = { action: 'message_publish' }
      if (hook) lines.tell(tenantId, hook, () => ({ ...told, ...messageFacts(hook, sender, message) }))
    },

    follows(tenantId) {
      const rules = hooks.get(tenantId)?.rules
      return rules !== undefined && (rules['message.delivered'] ?? rules['message.acked']) !== undefined
    },
    wantsAcked: (session, topic) => wantingMessage(session, 'message.acked', topic) !== undefined,
    delivered: tellMessage('message.delivered'),
    acked: tellMessage('message.acked'),

    changed(tenantId) {
      const hook = parsed(tenantId)
      if (hook) {
        hooks.set(tenantId, hook)
      } else {
        hooks.delete(tenantId)
        lines.drop(tenantId)
      }
    },
    stop: lines.stop
  }
}

function actionOf(event: HookEvent): string {
  return event.replace('.', '_')
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}
