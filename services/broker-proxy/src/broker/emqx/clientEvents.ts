import { compile, type Log, type Static, Type } from '@fleetgate/contracts'
import type { BrokerRules, Session } from '../brokerDriver.js'
import type { Lane } from '../lane.js'
import type { EmqxApi } from './api.js'
import type { ClientRegister } from './clientRegister.js'
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

/** Who has connected; nothing where it is no user of ours. The port is not in the event. */
export function connectedSession(event: ClientEvent, rules: Pick<BrokerRules, 'account'>): Session | undefined {
  const { clientid: clientId, username, ts } = event
  const client = {
    clientId,
    username: username ?? '',
    ip: event.ipaddress ?? '',
    port: 0,
    keepalive: event.keepalive ?? 0,
    protoVer: event.proto_ver ?? 4,
    clean: event.clean_start ?? true,
    connectedAt: event.connected_at ?? ts ?? Date.now()
  }
  return toSession(client, rules)
}

export interface ClientEventParts {
  api: Pick<EmqxApi, 'client'>
  lane: Lane
  register: ClientRegister
  rules: Pick<BrokerRules, 'account'>
  /** Connected, but no user of ours. */
  onStranger(clientId: string): void
  log: Log
}

/** Reads EMQX's own events into the register. */
export function createClientEvents({ api, lane, register, rules, onStranger, log }: ClientEventParts) {
  /** Only the list knows the port. A client that cannot be asked for is there without one. */
  async function complete(session: Session): Promise<Session> {
    const { clientId, ip } = session
    const client = await lane
      .run(() => api.client(clientId))
      .catch((err) => log.warn({ err, clientId }, 'port not read'))
    return client?.ip === ip ? { ...session, port: client.port } : session
  }

  function note(event: ClientEvent): void {
    const { clientid: clientId, connected_at: connectedAt, name, reason } = event
    const at = event.disconnected_at ?? event.ts ?? Date.now()
    const session = name === 'connected' ? connectedSession(event, rules) : undefined
    if (name === 'disconnected') register.disconnected({ clientId, connectedAt, at, reason })
    else if (session) void complete(session).then(register.connected)
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
