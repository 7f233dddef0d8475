import type { Aedes } from 'aedes'
import type { Message, Session } from '../brokerDriver.js'
import { parseShared } from '../topics.js'
import type { StoredPacket } from './aedesParts.js'
import { mountPoint } from './hooks.js'

/** Members of `$share/{group}/{filter}`: each message goes to one of them, in turn. */
export interface SharedGroups {
  /** Does nothing for a filter that is not shared. */
  join(session: Session, filter: string, qos: number): void
  leave(session: Session, filter: string): void
  leaveAll(session: Session): void
}

export interface SharedGroupParts {
  broker: Pick<Aedes, 'subscribe' | 'unsubscribe'>
  mayReceive(session: Session, topic: string): boolean
  /** Whether its socket takes more now; one that does not is passed over while others do. */
  isFree(session: Session): boolean
  deliver(session: Session, message: Message): Promise<unknown>
}

interface Group {
  members: Map<Session, number>
  /** Where the next search for a member begins. */
  turn: number
  close(): void
}

/**
 * aedes takes such a filter for a plain one, to which nobody can publish; it so keeps the client's book and answers
 * SUBACK. The messages come from here: one listener of ours for each group and filter.
 */
export function createSharedGroups(parts: SharedGroupParts): SharedGroups {
  const groups = new Map<string, Group>()
  const memberships = new WeakMap<Session, Set<string>>()

  function open(tenantId: string, filter: string): Group {
    const group: Group = { members: new Map(), turn: 0, close: () => parts.broker.unsubscribe(mounted, listener, noop) }
    const mounted = mountPoint({ tenantId }) + filter
    const listener = (packet: object, done: () => void) => {
      hand(group, packet as StoredPacket).then(done, done)
    }
    parts.broker.subscribe(mounted, listener, noop)
    return group
  }

  async function hand(group: Group, packet: StoredPacket): Promise<void> {
    const [first] = group.members.keys()
    if (!first) return
    const topic = packet.topic.slice(mountPoint(first).length)
    const member = choose(group, topic)
    if (!member) return
    const [session, granted] = member
    const qos = Math.min(packet.qos, granted) as 0 | 1 | 2
    await parts.deliver(session, { topic, payload: packet.payload, qos })
  }

  function choose(group: Group, topic: string): [Session, number] | undefined {
    const all = [...group.members]
    let waiting: [Session, number] | undefined
    for (let step = 0; step < all.length; step++) {
      const at = (group.turn + step) % all.length
      const member = all[at]
      if (!member || !parts.mayReceive(member[0], topic)) continue
      if (parts.isFree(member[0])) {
        group.turn = at + 1
        return member
      }
      waiting ??= member
    }
    return waiting
  }

  function leave(session: Session, filter: string): void {
    const key = mountPoint(session) + filter
    const group = groups.get(key)
    memberships.get(session)?.delete(filter)
    if (!group?.members.delete(session) || group.members.size > 0) return
    groups.delete(key)
    group.close()
  }

  return {
    join(session, filter, qos) {
      const shared = parseShared(filter)
      if (!shared) return
      const key = mountPoint(session) + filter
      const group = groups.get(key) ?? open(session.tenantId, shared.filter)
      groups.set(key, group)
      group.members.set(session, qos)
      const own = memberships.get(session) ?? new Set()
      memberships.set(session, own.add(filter))
    },
    leave,
    leaveAll(session) {
      for (const filter of [...(memberships.get(session) ?? [])]) leave(session, filter)
    }
  }
}

function noop(): void {}
