import type { CallerData, FunctionCode, Static } from '@fleetgate/contracts'

/** Who asks: read from a verified token or password, never from a header. */
export interface Caller {
  readonly userId: string
  readonly tenantId: string
  readonly email: string
  readonly nickname: string
  readonly isSuperAdmin: boolean
  readonly codes: ReadonlySet<string>
  /** Version of the user's credentials: see the event auth.user.revoked. */
  readonly version: number
  /** Roles beside super admin; `codes` already has what they allow. */
  readonly roleIds?: readonly string[] | undefined
  /** Version of the roles: see the event auth.user.authorized. */
  readonly rolesVersion?: number | undefined
  /** Set where a service token was presented: the caller is then a program, allowed what the token allows. */
  readonly serviceTokenId?: string | undefined
}

/** What a route asks of its caller; of a list of codes any suffices. */
export type Needs = FunctionCode | readonly FunctionCode[] | 'signedIn' | 'public'

/** True when the caller's roles allow it; a super admin may do everything. */
export function may(caller: Caller, needs: Exclude<Needs, 'public'>): boolean {
  if (needs === 'signedIn' || caller.isSuperAdmin) return true
  return typeof needs === 'string' ? caller.codes.has(needs) : needs.some((code) => caller.codes.has(code))
}

/** A caller as auth sends it over RPC, and back. */
export function toCaller(data: Static<typeof CallerData>): Caller {
  const { userId, tenantId, email, nickname, isSuperAdmin, codes, version } = data
  return { userId, tenantId, email, nickname, isSuperAdmin, codes: new Set(codes), version, ...rolesOf(data) }
}

export function toCallerData(caller: Caller): Static<typeof CallerData> {
  const { userId, tenantId, email, nickname, isSuperAdmin, codes, version } = caller
  return { userId, tenantId, email, nickname, isSuperAdmin, codes: [...codes], version, ...rolesOf(caller) }
}

function rolesOf({ roleIds, rolesVersion }: Pick<Caller, 'roleIds' | 'rolesVersion'>) {
  return {
    ...(roleIds === undefined ? {} : { roleIds: [...roleIds] }),
    ...(rolesVersion === undefined ? {} : { rolesVersion })
  }
}
