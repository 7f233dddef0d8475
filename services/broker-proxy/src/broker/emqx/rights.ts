import type { Log } from '@fleetgate/contracts'
import type { BrokerRules, Session } from '../brokerDriver.js'
import type { Lane } from '../lane.js'
import { parseShared } from '../topics.js'
import type { EmqxApi } from './api.js'
import type { Door } from './door.js'
import { ownIdPrefix } from './links.js'
import type { TopicSpace } from './topicSpace.js'

/** Takes back what EMQX has granted. Works on by itself; what fails for good is logged as an error. */
export interface Rights {
  kick(clientId: string, reason: string): void
  /** Permissions take effect at once: what EMQX remembers is dropped, and filters that are not allowed any more end. */
  recheck(session: Session): void
  /** The same for sessions that wait for their clients; those of a user who is gone end. */
  recheckAbsent(username: string): void
}

type Owned = Pick<Session, 'clientId' | 'username' | 'tenantId'>

const attempts = 5
const retryMs = 500

export function createRights(parts: {
  api: Pick<EmqxApi, 'kick' | 'forgetPermissions' | 'subscriptions' | 'unsubscribe' | 'sessions'>
  lane: Lane
  door: Pick<Door, 'mayUse'>
  rules: () => Pick<BrokerRules, 'account'> | undefined
  space: TopicSpace
  log: Log
}): Rights {
  const { api, lane, door, rules, space, log } = parts

  async function persist(task: () => Promise<void>, fields: object, complaint: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await lane.run(task)
      } catch (err) {
        if (attempt === attempts) return log.error({ ...fields, err }, complaint)
        await new Promise((resolve) => setTimeout(resolve, retryMs * attempt))
      }
    }
  }

  async function check({ clientId, username, tenantId }: Owned): Promise<void> {
    await api.forgetPermissions(clientId)
    for (const { filter } of await api.subscriptions(clientId)) {
      const written = space.asWritten(tenantId, filter)
      // The authorizer is asked about shared subscriptions by their topic.
      const topic = parseShared(written)?.filter ?? written
      if (door.mayUse({ clientid: clientId, username, action: 'subscribe', topic })) continue
      await api.unsubscribe(clientId, written)
    }
  }

  async function checkAbsent(username: string): Promise<void> {
    const tenantId = rules()?.account(username)?.tenantId
    for await (const { clientId, isConnected } of api.sessions(username)) {
      if (isConnected || clientId.startsWith(ownIdPrefix)) continue
      if (tenantId === undefined) await api.kick(clientId)
      else await check({ clientId, username, tenantId })
    }
  }

  return {
    kick(clientId, reason) {
      log.info({ clientId, reason }, 'client is being disconnected from EMQX')
      void persist(() => api.kick(clientId), { clientId, reason }, 'client not disconnected from EMQX')
    },
    recheck(session) {
      const { clientId } = session
      void persist(() => check(session), { clientId }, 'permissions of a client not taken back at EMQX')
    },
    recheckAbsent(username) {
      void persist(() => checkAbsent(username), { username }, 'permissions of absent clients not taken back at EMQX')
    }
  }
}
