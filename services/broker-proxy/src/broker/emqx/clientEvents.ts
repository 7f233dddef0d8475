import { compile, type Log, type Static, Type } from '@fleetgate/contracts'
import type { BrokerRules, Session } from '../brokerDriver.js'
import type { ClientRegister } from './clientRegister.js'
import type { Door } from './door.js'
import { toSession } from './identify.js'
import { ownIdPrefix } from './links.js'

type ClientEventName = 'connected' | 'disconnected' | 'subscribed' | 'unsubscribed'

/** EMQX tells the last two only where its `sys_event_messages` say so. */
export const clientEventFilter = (name: ClientEventName) => `$SYS/brokers/+/clients/+/${name}`
export const clientEventFilters = [clientEventFilter('connected'), clientEventFilter('disconnected')]

const Event = Type.Object({
  clientid: Type.String(),
  username: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  ipaddress: Type.Optional(Type.String()),
  keepalive: Type.Optional(Type.Integer()),
  proto_ver: Type.Optional(Type.Integer()),
  clean_start: Type.Optional(Type.Boolean()),
  connected_at: Type.Optional(Type.Integer()),
  disconnected_at: Type.Optional(Type.Integer()),
  ts: Type.Optional(Type.Integer()),
  reason: Type.Optional(Type.String()),
  topic: Type.Optional(Type.String()),
  subopts: Type.Optional(Type.Object({ qos: Type.Optional(Type.Integer()) }))
})
const read = compile(Event)
const maxReason = 200

export interface ClientEvent extends Static<typeof Event> {
  name: string
  reason: string
}

/** Undefined for one of ours; throws where it is not understood. */
export function readClientEvent(topic: string, payload: Buffer): ClientEvent | undefined {
  const event = read(JSON.parse(payload.toString('utf8')))
  if (event.clientid.startsWith(ownIdPrefix)) return undefined
  const { reason = 'closed' } = event
  return { ...event, reason: reason.slice(0, maxReason), name: topic.slice(topic.lastIndexOf('/') + 1) }
}

export interface SessionParts {
  door: Pick<Door, 'recent'>
  rules: Pick<BrokerRules, 'account'>
}

/** Who has connected; nothing where it is no user of ours. */
export function connectedSession(event: ClientEvent, { door, rules }: SessionParts): Session | undefined {
  const { clientid: clientId, username, ts } = event
  // The log-in knows the port, which the event leaves out.
  const recent = door.recent(clientId)
  const client = {
    clientId,
    username: username ?? '',
    ip: event.ipaddress ?? '',
    port: recent && recent.ip === event.ipaddress ? recent.port : 0,
    keepalive: event.keepalive ?? 0,
    protoVer: event.proto_ver ?? 4,
    clean: event.clean_start ?? true,
    connectedAt: event.connected_at ?? ts ?? Date.now()
  }
  return toSession(client, rules)
}

export interface ClientEventParts extends SessionParts {
  register: ClientRegister
  /** Connected, but no user of ours. */
  onStranger(clientId: string): void
  log: Log
}

/** Reads EMQX's own events into the register. */
export function createClientEvents({ register, onStranger, log, ...parts }: ClientEventParts) {
  function note(event: ClientEvent): void {
    const { clientid: clientId, connected_at: connectedAt, name, reason } = event
    const at = event.disconnected_at ?? event.ts ?? Date.now()
    const session = name === 'connected' ? connectedSession(event, parts) : undefined
    if (name === 'disconnected') register.disconnected({ clientId, connectedAt, at, reason })
    else if (session) register.connected(session)
    else onStranger(clientId)
  }

  return function onEvent(topic: string, payload: Buffer): void {
    try {
      const event = readClientEvent(topic, payload)
      if (event) note(event)
    } catch (err) {
      log.warn({ err, topic }, 'event of EMQX not understood')
    }
  }
}
