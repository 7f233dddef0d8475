import type { Log } from '@fleetgate/contracts'
import type { Session } from '../brokerDriver.js'
import type { Lane } from '../lane.js'
import type { EmqxApi } from './api.js'
import type { Door } from './door.js'
import type { TopicSpace } from './topicSpace.js'

/** Takes back what EMQX has granted. Works on by itself; what fails for good is logged as an error. */
export interface Rights {
  kick(clientId: string, reason: string): void
  /** Permissions take effect at once: what EMQX remembers is dropped, and filters that are not allowed any more end. */
  recheck(session: Session): void
}

const attempts = 5
const retryMs = 500

export function createRights(parts: {
  api: Pick<EmqxApi, 'kick' | 'forgetPermissions' | 'subscriptions' | 'unsubscribe'>
  lane: Lane
  door: Pick<Door, 'mayUse'>
  space: TopicSpace
  log: Log
}): Rights {
  const { api, lane, door, space, log } = parts

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

  async function check({ clientId, username, tenantId }: Session): Promise<void> {
    await api.forgetPermissions(clientId)
    const prefix = space.prefixOf(tenantId)
    for (const filter of await api.subscriptions(clientId)) {
      const plain = filter.replace(/^\$share\/[^/]+\//, '')
      const topic = plain.startsWith(prefix) ? plain.slice(prefix.length) : plain
      if (door.mayUse({ clientid: clientId, username, action: 'subscribe', topic })) continue
      // As the client wrote it: EMQX puts the mountpoint before what it is told here, too.
      await api.unsubscribe(
        clientId,
        filter.replace(plain, () => topic)
      )
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
    }
  }
}
