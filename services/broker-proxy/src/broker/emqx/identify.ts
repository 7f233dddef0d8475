import { LRUCache } from 'lru-cache'
import type { BrokerRules, Session } from '../brokerDriver.js'
import type { EmqxApi, EmqxClient } from './api.js'
import type { ClientRegister } from './clientRegister.js'
import type { Door } from './door.js'

const maxKept = 50_000

/**
 * Whose message it is. EMQX's event of a connection may come after the client's first message, or after a restart of
 * ours not at all: then the log-in, EMQX's list and the last known connection are asked, in this order.
 */
export function createIdentify(parts: {
  register: ClientRegister
  door: Pick<Door, 'recent'>
  api: Pick<EmqxApi, 'client'>
  rules: Pick<BrokerRules, 'account' | 'lastUser'>
}): (clientId: string) => Promise<Session | undefined> {
  const { register, door, api, rules } = parts
  /** The same object for the same client: the order of its messages hangs on it. */
  const kept = new LRUCache<string, Session>({ max: maxKept })

  function keep(session: Session): Session {
    const before = kept.get(session.clientId)
    if (before && before.tenantId === session.tenantId && before.username === session.username) return before
    kept.set(session.clientId, session)
    return session
  }

  async function ask(clientId: string): Promise<Session | undefined> {
    const client = await api.client(clientId)
    const session = client && toSession(client, rules)
    if (session) return session
    const last = await rules.lastUser(clientId)
    return last && { ...unknownClient(clientId), ...last }
  }

  return async (clientId) => {
    const near = register.of(clientId) ?? door.recent(clientId)
    if (near) return keep(near)
    const found = await ask(clientId)
    return found && keep(found)
  }
}

/** Nothing where EMQX let in somebody who is no user of ours (any more). */
export function toSession(client: EmqxClient, rules: Pick<BrokerRules, 'account'>): Session | undefined {
  const account = rules.account(client.username)
  return account && { ...client, tenantId: account.tenantId }
}

function unknownClient(clientId: string) {
  return { clientId, ip: '', port: 0, connectedAt: 0, keepalive: 0, protoVer: 4, clean: true }
}
