import { type Actor, AppError, type Bus, listPeople, type PersonData } from '@fleetgate/contracts'
import type { Caller, RequestInfo } from '@fleetgate/kit'

export type Ask = Pick<Bus, 'request'>

const pageSize = 500
/** The original lists people on one page; a tenant with more than this is not managed over its API. */
const mostPeople = 10_000

export async function everybody(bus: Ask, tenantId: string): Promise<PersonData[]> {
  const all: PersonData[] = []
  for (let after = ''; all.length < mostPeople; after = all.at(-1)?.id ?? '') {
    const { people } = await bus.request(listPeople, { tenantId, after, limit: pageSize })
    all.push(...people)
    if (people.length < pageSize) break
  }
  return all
}

/** Who asks auth, for its rules and its audit. */
export function actorOf(
  { tenantId, userId, email, isSuperAdmin, serviceTokenId }: Caller,
  request: RequestInfo
): Actor {
  const program = serviceTokenId ? { serviceTokenId } : {}
  return { tenantId, userId, email, isSuperAdmin, ...program, address: request.address, requestId: request.id }
}

/** EMQ's numbers for what auth refuses. */
const codes: Partial<Record<string, number>> = {
  not_found: 105,
  invalid_state: 106,
  conflict: 113,
  bad_credentials: 114
}

/** What auth answers, its refusals under EMQ's numbers. */
export async function coded<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (cause) {
    const wireCode = cause instanceof AppError ? codes[cause.code] : undefined
    if (!(cause instanceof AppError) || wireCode === undefined) throw cause
    throw new AppError(cause.code, cause.message, { ...cause.details, wireCode }, { cause })
  }
}
