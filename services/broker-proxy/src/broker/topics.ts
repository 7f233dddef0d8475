import { isCastOf, parseCastTopic } from '@fleetgate/contracts'

/** MQTT topic filters: pure rules, used for permissions and deliveries alike. */

/** Whether a topic name matches a filter. A wildcard at the start does not match names that begin with `$`. */
export function matches(filter: string, topic: string): boolean {
  if (filter === topic) return true
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false
  const wanted = filter.split('/')
  const given = topic.split('/')
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true
    const found = given[index]
    if (found === undefined || (level !== '+' && level !== found)) return false
  }
  return wanted.length === given.length
}

/** Whether every topic that `inner` matches is matched by `outer` too. */
export function covers(outer: string, inner: string): boolean {
  const wide = outer.split('/')
  const narrow = inner.split('/')
  for (const [index, level] of wide.entries()) {
    if (level === '#') return true
    const other = narrow[index]
    if (other === undefined || other === '#') return false
    if (level !== '+' && (other === '+' || level !== other)) return false
  }
  return wide.length === narrow.length
}

const maxTopicBytes = 4096
const maxLevels = 64

/** A topic name or filter of sane size: the stream keeps it in a header, brokers recurse over its levels. */
export function isSaneTopic(topic: string): boolean {
  if (topic.length === 0 || topic.includes('\0') || Buffer.byteLength(topic) > maxTopicBytes) return false
  return topic.split('/', maxLevels + 1).length <= maxLevels
}

/** `fleet/group/{castId}/down/…` of a cast of this tenant, topic or filter: open to each of its clients. */
export function isOwnCast({ tenantId }: { tenantId: string }, topic: string): boolean {
  const cast = parseCastTopic(topic)
  return cast !== undefined && isCastOf(tenantId, cast.castId)
}

/** `$share/{group}/{filter}`, taken apart; undefined for everything else, a malformed one included. */
export function parseShared(filter: string): { group: string; filter: string } | undefined {
  const [, group, inner] = /^\$share\/([^/+#]+)\/(.+)$/s.exec(filter) ?? []
  return group === undefined || inner === undefined ? undefined : { group, filter: inner }
}

/** A filter that MQTT allows: `+` and `#` each a level of their own, `#` only the last one. */
export function isFilter(filter: string): boolean {
  if (!isSaneTopic(filter)) return false
  const levels = filter.split('/')
  return levels.every((level, index) => {
    if (level === '#') return index === levels.length - 1
    return level === '+' || !/[+#]/.test(level)
  })
}
