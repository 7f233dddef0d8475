import { detached, type Log, type listRoleCodes, type roleChanged, type Static } from '@fleetgate/contracts'

export type RolesQuestion = Static<typeof listRoleCodes.request>
export type RolesAnswer = Static<typeof listRoleCodes.reply>
type RoleState = Pick<Static<typeof roleChanged.data>, 'roleId' | 'tenantId' | 'codes' | 'revision'>

export interface RoleCodes {
  /** Undefined for a role never heard of. */
  codesOf(tenantId: string, roleId: string): readonly string[] | undefined
  /** Takes a role as it was at a revision; older news are passed over. */
  apply(role: RoleState): void
  /** Fetches all again unless that was tried within the last second; false when auth could not be asked. */
  refresh(): Promise<boolean>
  stop(): void
}

export interface RoleCodesOptions {
  /** Absent where nobody can be asked: unknown roles allow nothing then. */
  fetch: ((question: RolesQuestion) => Promise<RolesAnswer>) | undefined
  onChange: () => void
  log: Log
  now: () => number
}

const minIntervalMs = 1000
const retryMs = 1500
const pageSize = 500

/** What each role allows: fetched until it is there once, kept current by events. */
export function createRoleCodes({ fetch, onChange, log, now }: RoleCodesOptions): RoleCodes {
  const roles = new Map<string, { codes: readonly string[]; revision: number }>()
  let triedAt = Number.NEGATIVE_INFINITY
  let lastTryWorked = false
  let wasLoaded = false
  let running: Promise<boolean> | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  function apply({ tenantId, roleId, codes, revision }: RoleState): void {
    const key = keyOf(tenantId, roleId)
    const known = roles.get(key)
    if (known && known.revision >= revision) return
    roles.set(key, { codes, revision })
    onChange()
  }

  async function fetchAll(ask: NonNullable<RoleCodesOptions['fetch']>): Promise<void> {
    let after: string | undefined = ''
    while (after !== undefined) {
      const page: RolesAnswer = await ask({ after, limit: pageSize })
      for (const role of page.roles) apply(role)
      after = page.next
    }
  }

  async function load(ask: NonNullable<RoleCodesOptions['fetch']>): Promise<boolean> {
    triedAt = now()
    try {
      await fetchAll(ask)
      lastTryWorked = wasLoaded = true
    } catch (err) {
      lastTryWorked = false
      log.debug({ reason: (err as Error).message }, 'roles are not to be had')
    }
    running = undefined
    if (!wasLoaded && !stopped) schedule()
    return lastTryWorked
  }

  function schedule(): void {
    clearTimeout(timer)
    timer = setTimeout(() => void detached(refresh), retryMs)
    timer.unref()
  }

  async function refresh(): Promise<boolean> {
    if (!fetch) return true
    if (running) return running
    // A clock that was set back must not stop us for as long.
    if (Math.abs(now() - triedAt) < minIntervalMs) return lastTryWorked
    running = load(fetch)
    return running
  }

  return {
    codesOf: (tenantId, roleId) => roles.get(keyOf(tenantId, roleId))?.codes,
    apply,
    refresh,
    stop() {
      stopped = true
      clearTimeout(timer)
    }
  }
}

function keyOf(tenantId: string, roleId: string): string {
  return `${tenantId}/${roleId}`
}
