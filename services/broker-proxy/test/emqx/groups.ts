import { createHash } from 'node:crypto'
import { matches } from '../../src/broker/topics.js'

export type Groups = ReturnType<typeof createGroups>

/** One client's part in a shared subscription. */
export interface Member {
  clientId: string
  group: string
  filter: string
  qos: number
  /** As the client wrote it, with its mountpoint. */
  written: string
}

export interface Wish {
  topic: string
  qos?: number | undefined
}

/**
 * Shared subscriptions: aedes sees a private topic in place of each, on which nothing is published; what they get goes through
 * `memberQueues.ts`. A member is chosen by the sender (`hash_clientid`), present or not.
 */
export function createGroups() {
  const members = new Map<string, Member>()

  /** Where a subscription of a client stands in aedes. */
  function take(clientId: string, { topic, qos = 0 }: Wish, mount: string) {
    const [, group, plain] = /^\$share\/([^/]+)\/(.+)$/.exec(topic) ?? []
    if (group === undefined || plain === undefined) return { place: mount + topic }
    const written = `$share/${group}/${mount}${plain}`
    const place = `$q/${clientId}/${createHash('sha1').update(written).digest('hex').slice(0, 8)}`
    return { place, member: { clientId, group, filter: mount + plain, qos, written } }
  }

  function fitting(topic: string): Member[][] {
    const groups = new Map<string, Member[]>()
    for (const member of members.values()) {
      if (!matches(member.filter, topic)) continue
      const key = `${member.group} ${member.filter}`
      groups.set(key, [...(groups.get(key) ?? []), member])
    }
    return [...groups.values()]
  }

  return {
    join(clientId: string, wish: Wish, mount: string): string {
      const { place, member } = take(clientId, wish, mount)
      if (member) members.set(place, member)
      return place
    },
    leave: (place: string) => members.delete(place),
    /** With a session its memberships end. */
    end(clientId: string): void {
      for (const [place, member] of members) if (member.clientId === clientId) members.delete(place)
    },
    placeOf: (clientId: string, topic: string, mount: string) => take(clientId, { topic }, mount).place,
    of: (place: string) => members.get(place),
    /** One of each group. */
    chosen(sender: string, topic: string): Member[] {
      const hash = createHash('sha1').update(sender).digest().readUInt32BE()
      return fitting(topic).flatMap((group) => group[hash % group.length] ?? [])
    },
    /** Who gets instead what this member has not acknowledged. */
    instead({ group, filter, clientId }: Member): Member | undefined {
      const others = [...members.values()].filter((one) => one.group === group && one.filter === filter)
      return others.find((one) => one.clientId !== clientId)
    }
  }
}
