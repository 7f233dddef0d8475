import { compile, type Log, Type } from '@fleetgate/contracts'
import type { BrokerRules } from '../brokerDriver.js'
import type { ClientRegister } from './clientRegister.js'
import type { Door } from './door.js'
import { toSession } from './identify.js'
import { ownIdPrefix } from './links.js'

/** `…/clients/{id}/connected` and `…/disconnected`; there are others (subscribed) on some brokers. */
export const clientEventFilters = ['$SYS/brokers/+/clients/+/connected', '$SYS/brokers/+/clients/+/disconnected']

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
  reason: Type.Optional(Type.String())
})
const read = compile(Event)
const maxReason = 200

export interface ClientEventParts {
  register: ClientRegister
  door: Pick<Door, 'recent'>
  rules: Pick<BrokerRules, 'account'>
  /** Connected, but no user of ours. */
  onStranger(clientId: string): void
  log: Log
}

/** Reads EMQX's own events into the register. */
export function createClientEvents({ register, door, rules, onStranger, log }: ClientEventParts) {
  function connected(event: ReturnType<typeof read>): void {
    const { clientid: clientId, ts } = event
    // The log-in knows the port, which the event leaves out.
    const recent = door.recent(clientId)
    const client = {
      clientId,
      username: event.username ?? '',
      ip: event.ipaddress ?? '',
      port: recent && recent.ip === event.ipaddress ? recent.port : 0,
      keepalive: event.keepalive ?? 0,
      protoVer: event.proto_ver ?? 4,
      clean: event.clean_start ?? true,
      connectedAt: event.connected_at ?? ts ?? Date.now()
    }
    const session = toSession(client, rules)
    if (session) register.connected(session)
    else onStranger(clientId)
  }

  return function onEvent(topic: string, payload: Buffer): void {
    try {
      const event = read(JSON.parse(payload.toString('utf8')))
      const { clientid: clientId, connected_at: connectedAt, reason = 'closed' } = event
      if (clientId.startsWith(ownIdPrefix)) return
      const at = event.disconnected_at ?? event.ts ?? Date.now()
      if (topic.endsWith('/connected')) connected(event)
      else register.disconnected({ clientId, connectedAt, at, reason: reason.slice(0, maxReason) })
    } catch (err) {
      log.warn({ err, topic }, 'event of EMQX not understood')
    }
  }
}
