import { createHash } from 'node:crypto'
import { matches } from '../../src/broker/topics.js'

export type Groups = ReturnType<typeof createGroups>

/**
 * Shared subscriptions: each member reads from a private topic, so aedes keeps and repeats what it has not acknowledged.
 * A member is chosen by the sender (`hash_clientid`), present or not.
 */
export function createGroups() {
  const members = new Map<string, { group: string; filter: string; written: string; place: string }>()

  /** Where a subscription of a client stands in aedes. */
  function take(clientId: string, filter: string, mount: string) {
    const [, group, plain] = /^\$share\/([^/]+)\/(.+)$/.exec(filter) ?? []
    if (group === undefined || plain === undefined) return { place: mount + filter }
    const written = `$share/${group}/${mount}${plain}`
    const place = `$q/${clientId}/${createHash('sha1').update(written).digest('hex').slice(0, 8)}`
    return { place: `${place}/#`, member: { group, filter: mount + plain, written, place } }
  }

  return {
    join(clientId: string, filter: string, mount: string): string {
      const { place, member } = take(clientId, filter, mount)
      if (member) members.set(member.place, member)
      return place
    },
    leave: (place: string) => members.delete(place.replace(/\/#$/, '')),
    placeOf: (clientId: string, filter: string, mount: string) => take(clientId, filter, mount).place,
    of: (topic: string) => members.get(topic.replace(/\/#$/, '')),
    plainTopic: (topic: string) => topic.replace(/^\$q\/[^/]+\/[^/]+\//, ''),
    placesOf(sender: string, topic: string): string[] {
      const fitting = new Map<string, string[]>()
      for (const { group, filter, place } of members.values()) {
        if (!matches(filter, topic)) continue
        const key = `${group} ${filter}`
        fitting.set(key, [...(fitting.get(key) ?? []), place])
      }
      const hash = createHash('sha1').update(sender).digest().readUInt32BE()
      return [...fitting.values()].map((places) => `${places.sort()[hash % places.length]}/${topic}`)
    }
  }
}
