import type { Log } from '@fleetgate/contracts'
import type { BrokerRules, Sender } from '../brokerDriver.js'
import { type ClientEvent, clientEventFilter, connectedSession, readClientEvent } from './clientEvents.js'
import type { TopicSpace } from './topicSpace.js'

/** Shared by all replicas, so that each event is told once. */
export const toldFilters = (['connected', 'disconnected', 'subscribed', 'unsubscribed'] as const).map(
  (name) => `$share/fleetgate-told/${clientEventFilter(name)}`
)

export interface TellingParts {
  rules: Pick<BrokerRules, 'account' | 'watch'>
  space: Pick<TopicSpace, 'asWritten'>
  log: Log
}

/** Tells whoever watches the broker what EMQX tells of its clients. */
export function createTelling({ rules, space, log }: TellingParts) {
  const { watch } = rules

  function tell(event: ClientEvent): void {
    const { name, clientid: clientId, reason, topic } = event
    const username = event.username ?? ''
    const tenantId = rules.account(username)?.tenantId
    if (tenantId === undefined) return
    const client = { tenantId, clientId, username }
    const session = name === 'connected' ? connectedSession(event, rules) : undefined
    if (session) watch.connected(session)
    else if (name === 'disconnected') watch.disconnected(client, reason)
    else if (topic !== undefined) tellFilter(client, event, space.asWritten(tenantId, topic))
  }

  function tellFilter(client: Sender, { name, subopts }: ClientEvent, filter: string): void {
    const qos = subopts?.qos ?? 0
    if (name === 'unsubscribed') {
      watch.unsubscribing(client, filter)
      watch.unsubscribed(client, filter)
    } else {
      watch.subscribing(client, filter, qos)
      watch.subscribed(client, filter, qos)
    }
  }

  return function onEvent(topic: string, payload: Buffer): void {
    try {
      const event = readClientEvent(topic, payload)
      if (event) tell(event)
    } catch (err) {
      log.warn({ err, topic }, 'event of EMQX not told')
    }
  }
}
