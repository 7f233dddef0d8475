import { covers, matches } from '../broker/topics.js'

export const perms = ['PUB', 'SUB', 'PUB|SUB', 'DENY'] as const
export type Perm = (typeof perms)[number]

export interface Grant {
  /** A topic name, or a filter with MQTT wildcards. */
  name: string
  perm: Perm
}

/** What a user may do, in the words of RocketMQ's ACL 1.0. */
export interface Permissions {
  admin: boolean
  defaultTopicPerm?: Perm | undefined
  defaultGroupPerm?: Perm | undefined
  topicPerms: readonly Grant[]
  groupPerms?: readonly Grant[] | undefined
}

export type Action = 'PUB' | 'SUB'

/**
 * One topic: explicit entries beat the default, DENY among them always refuses, a missing permission is DENY. An
 * administrator has everything that no entry denies.
 */
export function mayUse(user: Permissions, action: Action, topic: string): boolean {
  return decide(user, action, (name) => matches(name, topic))
}

/**
 * A subscription filter: allowed where the rules allow everything it covers. A filter that only overlaps a denied one
 * is allowed; the denied messages themselves are held back one by one.
 */
export function maySubscribeTo(user: Permissions, filter: string): boolean {
  return decide(user, 'SUB', (name) => covers(name, filter))
}

/** Whether the user may subscribe in a `$share` group; groups have plain names, and only SUB means something there. */
export function maySubscribeInGroup(user: Permissions, group: string): boolean {
  const entries = (user.groupPerms ?? []).filter(({ name }) => name === group)
  return judge({ admin: user.admin, entries, fallback: user.defaultGroupPerm }, 'SUB')
}

/** The rule over the topic entries that apply. */
export function decide(user: Permissions, action: Action, applies: (name: string) => boolean): boolean {
  const entries = user.topicPerms.filter(({ name }) => applies(name))
  return judge({ admin: user.admin, entries, fallback: user.defaultTopicPerm }, action)
}

interface Facts {
  admin: boolean
  entries: readonly Grant[]
  fallback: Perm | undefined
}

function judge({ admin, entries, fallback }: Facts, action: Action): boolean {
  if (entries.some(({ perm }) => perm === 'DENY')) return false
  if (admin || entries.some(({ perm }) => includes(perm, action))) return true
  return entries.length === 0 && includes(fallback, action)
}

function includes(perm: Perm | undefined, action: Action): boolean {
  return perm === action || perm === 'PUB|SUB'
}
