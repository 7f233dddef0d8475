import { AppError, type Bus, type Log, roleChanged, userAuthorized } from '@fleetgate/contracts'
import { createAuthorizations } from './authorizations.js'
import type { Caller } from './caller.js'
import { createRoleCodes, type RoleCodesOptions } from './roleCodes.js'
import { maxTokenAgeMs } from './tokens.js'

/** What callers may do now, without asking anybody per request. */
export interface Access {
  /** The caller with the roles and codes of this moment, as far as known here. */
  current(caller: Caller): Caller
  /** The same, after asking auth where a role is unknown here: `unavailable`. */
  settled(caller: Caller): Promise<Caller>
  stop(): Promise<void>
}

export interface AccessOptions {
  bus: Pick<Bus, 'watch'> | undefined
  fetch: RoleCodesOptions['fetch']
  log: Log
  now: () => number
}

/** Roles that changed while they were being fetched are told by events of this last time. */
const overlapMs = 60_000

export async function watchAccess({ bus, fetch, log, now }: AccessOptions): Promise<Access> {
  const codes = createRoleCodes({ fetch, onChange: () => authorizations.roleChanged(), log, now })
  const authorizations = createAuthorizations(codes.codesOf, now)
  const watches = await Promise.all([
    bus?.watch(userAuthorized, { sinceMs: maxTokenAgeMs }, authorizations.apply),
    bus?.watch(roleChanged, { sinceMs: overlapMs }, codes.apply)
  ])
  await codes.refresh()

  return {
    current: authorizations.current,
    async settled(caller) {
      const known = authorizations.current(caller)
      if (!authorizations.hasUnknownRole(known)) return known
      if (!(await codes.refresh())) throw new AppError('unavailable', 'roles cannot be checked at the moment')
      return authorizations.current(caller)
    },
    async stop() {
      codes.stop()
      await Promise.all(watches.map((watch) => watch?.stop()))
    }
  }
}
