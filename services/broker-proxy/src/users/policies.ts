import { covers } from '../broker/topics.js'
import { decide, maySubscribeInGroup, type Perm, type Permissions } from './permissions.js'
import type { MqttUser, Users } from './users.js'

export interface Policy {
  accessKey: string
  whiteRemoteAddress: string
  admin: boolean
  perm: Perm
}

export interface Policies {
  /** Who may do what with a topic (or with everything that a filter covers). */
  ofTopic(tenantId: string, topic: string, page: Page): Promise<{ items: Policy[]; total: number }>
  /** Who may subscribe in a `$share` group. */
  ofGroup(tenantId: string, group: string, page: Page): Promise<{ items: Policy[]; total: number }>
}

interface Page {
  offset: number
  limit: number
}

type Rights = Omit<MqttUser, 'secretKey'>

/** Answered from the permissions that count at the broker; whoever may do nothing is not listed. */
export function createPolicies(users: Pick<Users, 'rights'>): Policies {
  async function list(tenantId: string, { offset, limit }: Page, permOf: (user: Rights) => Perm) {
    const items: Policy[] = []
    let total = 0
    for await (const user of users.rights(tenantId)) {
      const perm = permOf(user)
      if (perm === 'DENY') continue
      const { accessKey, whiteRemoteAddress, admin } = user
      if (total >= offset && items.length < limit) items.push({ accessKey, whiteRemoteAddress, admin, perm })
      total += 1
    }
    return { items, total }
  }

  return {
    ofTopic: (tenantId, topic, page) => list(tenantId, page, (user) => topicPerm(user, topic)),
    ofGroup: (tenantId, group, page) => list(tenantId, page, (user) => groupPerm(user, group))
  }
}

export function topicPerm(user: Permissions, topic: string): Perm {
  const may = (action: 'PUB' | 'SUB') => decide(user, action, (name) => covers(name, topic))
  if (may('PUB')) return may('SUB') ? 'PUB|SUB' : 'PUB'
  return may('SUB') ? 'SUB' : 'DENY'
}

function groupPerm(user: Permissions, group: string): Perm {
  return maySubscribeInGroup(user, group) ? 'SUB' : 'DENY'
}
