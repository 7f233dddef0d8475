import type { Deed } from '@fleetgate/contracts'
import type { Auditor } from './audit.js'
import { Counted } from './reply.js'
import type { Route, RouteInput } from './route.js'

/**
 * What the record calls a change, where the name alone is not enough from the body as well; null for what changes nothing, or leaves its record
 * elsewhere.
 */
export type AuditAction = string | null | { action: string | ((body: unknown) => string); targets?: TargetsOf }

/** Ids and names beside those that `idsIn` finds. Never values, secrets or texts. */
type TargetsOf = (body: unknown) => string[]

/** By method and path, `post /device`. Each route that is neither public nor a GET stands here, and a GET that changes something. */
export type AuditActions = Readonly<Record<string, AuditAction>>

export interface AuditOptions {
  auditor: Auditor
  actions: AuditActions
}

/** Throws for routes that nobody has thought of, and for actions that belong to no route. */
export function checkActions(routes: readonly Route[], actions: AuditActions): void {
  const keys = new Set(routes.map(keyOf))
  const idle = Object.keys(actions).filter((key) => !keys.has(key))
  const unnamed = routes.filter((route) => mayChange(route) && actions[keyOf(route)] === undefined).map(keyOf)
  if (idle.length > 0) throw new Error(`audit actions without a route: ${idle.join(', ')}`)
  if (unnamed.length > 0) throw new Error(`routes without an audit action: ${unnamed.join(', ')}`)
}

/** The same routes; those that change something leave a record. */
export function audited(routes: readonly Route[], { auditor, actions }: AuditOptions): Route[] {
  return routes.map((route) => {
    const action = route.needs === 'public' ? null : (actions[keyOf(route)] ?? null)
    return action === null ? route : { ...route, handle: recorded(route, auditor, action) }
  })
}

const keyOf = ({ method, path }: Route) => `${method} ${path}`

/** Of strangers there is nobody to name, and they could fill the record. */
const mayChange = ({ method, needs }: Route) => method !== 'get' && needs !== 'public'

function recorded(route: Route, { around }: Auditor, rule: Exclude<AuditAction, null>): Route['handle'] {
  const { action, targets = () => [] } = typeof rule === 'string' ? { action: rule } : rule
  const nameOf = typeof action === 'string' ? () => action : action
  return (input) => {
    const deed = deedOf(nameOf(input.body), input, targets(input.body))
    return around(deed, async () => route.handle(input), idsIn)
  }
}

function deedOf(action: string, { params, query, body, caller, request }: RouteInput, more: string[]): Deed {
  if (!caller) throw new Error('a change without a caller')
  const { tenantId, userId, email, serviceTokenId } = caller
  return {
    action,
    tenantId,
    targets: [...Object.values(params ?? {}).map(String), ...idsIn(query), ...idsOfBody(body), ...more],
    userId,
    email,
    ...(serviceTokenId === undefined ? {} : { serviceTokenId }),
    address: request.address,
    requestId: request.id
  }
}

/** Fields that name things in any of the dialects; never passwords, keys, tokens or texts. */
const naming =
  /^(_?id|ids|email|name|username|access|access_key|identifier|fileName|sha256|\w+_ids?|\w+_id_list|[a-z]\w*Ids?)$/
/** Lists of things stand in the body or one level below; deeper there are documents of people. */
const deepest = 3

/** SDES sends bare lists of ids. */
function idsOfBody(body: unknown): string[] {
  return Array.isArray(body) ? [...body.filter(isName).map(String), ...idsIn(body)] : idsIn(body)
}

const isName = (value: unknown) => typeof value === 'string' || typeof value === 'number'

/** The ids and names that a body or an answer tells. */
export function idsIn(value: unknown, depth = 0): string[] {
  const inside = value instanceof Counted ? value.data : value
  if (!isPlain(inside) || depth > deepest) return []
  return Object.entries(inside).flatMap(([key, inner]) => {
    const many: unknown[] = Array.isArray(inner) ? inner : [inner]
    const plain = naming.test(key) ? many.filter(isName) : []
    return [...plain.map(String), ...many.flatMap((one) => idsIn(one, depth + 1))]
  })
}

/** Raw answers hold streams and bytes. */
function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === Array.prototype || prototype === null
}
