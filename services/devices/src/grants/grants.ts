import type { Caller, listGrants, ResourceType, Static } from '@fleetgate/kit'

type Answer = Static<typeof listGrants.reply>

/** What a caller may see of one type. */
export interface Scope {
  all: boolean
  ids: ReadonlySet<string>
}

export interface GrantsOptions {
  /** auth.listGrants; throws `unavailable`. */
  ask: (question: { tenantId: string; userId: string; offset: number }) => Promise<Answer>
}

export type Grants = ReturnType<typeof createGrants>

interface Known {
  tenantId: string
  userId: string
  roleIds: ReadonlySet<string>
  all: boolean
  byType: Map<ResourceType, ReadonlySet<string>>
}

const maxUsers = 10_000
const everything: Scope = { all: true, ids: new Set() }
const nothing: ReadonlySet<string> = new Set()

/** What the roles of users grant them: asked for once per user, then known until an event says that it changed. */
export function createGrants({ ask }: GrantsOptions) {
  const users = new Map<string, Known>()
  const asking = new Map<string, Promise<Known>>()
  /** Counts the changes heard of: an answer from before one may not be remembered after it. */
  let changes = 0

  async function askOnce(key: string, of: { tenantId: string; userId: string }): Promise<Known> {
    const before = changes
    const known = toKnown(of, await askAll(of))
    if (before === changes) remember(key, known)
    return known
  }

  async function askAll(of: { tenantId: string; userId: string }): Promise<Answer> {
    const first = await ask({ ...of, offset: 0 })
    const resources = [...first.resources]
    for (let offset = first.next; offset !== undefined; ) {
      const page = await ask({ ...of, offset })
      resources.push(...page.resources)
      offset = page.next
    }
    return { ...first, resources }
  }

  function remember(key: string, known: Known): void {
    const oldest = users.size >= maxUsers ? users.keys().next().value : undefined
    if (oldest !== undefined) users.delete(oldest)
    users.set(key, known)
  }

  function share(key: string, of: { tenantId: string; userId: string }): Promise<Known> {
    const answer = askOnce(key, of).finally(() => {
      if (asking.get(key) === answer) asking.delete(key)
    })
    asking.set(key, answer)
    return answer
  }

  function forget(isOld: (known: Known) => boolean): void {
    changes++
    // Whoever comes now asks again: an answer on its way may be old.
    asking.clear()
    for (const [key, known] of users) if (isOld(known)) users.delete(key)
  }

  return {
    /** Throws `unavailable` where auth cannot be asked and nothing is known yet. */
    async scopeOf({ tenantId, userId, isSuperAdmin }: Caller, type: ResourceType): Promise<Scope> {
      if (isSuperAdmin) return everything
      const key = `${tenantId}/${userId}`
      const known = users.get(key) ?? (await (asking.get(key) ?? share(key, { tenantId, userId })))
      return known.all ? everything : { all: false, ids: known.byType.get(type) ?? nothing }
    },
    userChanged: (tenantId: string, userId: string) =>
      forget((known) => known.userId === userId && known.tenantId === tenantId),
    roleChanged: (tenantId: string, roleId: string) =>
      forget((known) => known.tenantId === tenantId && known.roleIds.has(roleId))
  }
}

function toKnown(of: { tenantId: string; userId: string }, { all, resources, roleIds }: Answer): Known {
  const byType = new Map<ResourceType, Set<string>>()
  for (const { id, type } of resources) {
    const ids = byType.get(type)
    if (ids) ids.add(id)
    else byType.set(type, new Set([id]))
  }
  return { ...of, roleIds: new Set(roleIds), all, byType }
}
