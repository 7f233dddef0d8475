import type { Route, RouteInput } from '@fleetgate/kit'
import type { Audit, Deed } from './audit.js'

/** What the record calls the changes; a change that is not named here is recorded under its method and path. */
export const auditActions: Record<string, string | ((body: unknown) => string)> = {
  'post /user/register': 'user.register',
  'post /user/members': 'user.create',
  'put /user/members/:id': 'user.update',
  'put /user/members/:id/change-password': 'user.reset-password',
  'put /user/members/:id/status': (body) =>
    (body as { status: string }).status === 'ENABLED' ? 'user.enable' : 'user.disable',
  'delete /user/members/:id': 'user.delete',
  'post /user/batch-delete': 'user.delete',
  'put /user/password': 'user.change-password',
  'post /user/tenants': 'tenant.create',
  'post /user/roles': 'role.create',
  'put /user/roles/:id': 'role.update',
  'delete /user/roles/:id': 'role.delete',
  'post /user/roles/:id/associate-user': 'role.associate-user',
  'post /user/roles/:id/disassociate-user': 'role.disassociate-user',
  'post /user/roles/:id/associate-resource': 'role.associate-resource',
  'post /user/roles/:id/disassociate-resource': 'role.disassociate-resource',
  'post /user/roles/:id/associate-menu': 'role.associate-menu',
  'post /user/menus': 'menu.create',
  'put /user/menus/:id': 'menu.update',
  'delete /user/menus/:id': 'menu.delete',
  'post /user/tokens': 'service-token.create',
  'delete /user/tokens/:id': 'service-token.revoke',
  'post /v3.0/OS-CREDENTIAL/credentials': 'access-key.create',
  'put /v3.0/OS-CREDENTIAL/credentials/:access_key': 'access-key.update',
  'delete /v3.0/OS-CREDENTIAL/credentials/:access_key': 'access-key.delete',
  'post /oauth2/keys/rotate': 'signing-key.rotate'
}

/** Beaver asks by POST where others GET, and signing in changes nothing. */
const readers =
  /^post (\/oauth2\/token|\/v1\/user\/login|\/v3\/auth\/tokens|\/user(\/\w+)?\/search|\/user\/members\/:\w+\/permission|\/user\/roles\/:\w+\/(members|resources|integrations|devices|dashboards|undistributed-\w+))$/

export function isChange({ method, path }: Pick<Route, 'method' | 'path'>): boolean {
  return method !== 'get' && !readers.test(`${method} ${path}`)
}

/** The same routes; those that change something leave a record. */
export function audited(routes: Route[], audit: Audit): Route[] {
  return routes.map((route) => (isChange(route) ? { ...route, handle: recorded(route, audit) } : route))
}

function recorded(route: Route, audit: Audit): Route['handle'] {
  const key = `${route.method} ${route.path}`
  const named = auditActions[key] ?? key
  const actionOf = ({ body }: RouteInput) => (typeof named === 'string' ? named : named(body))
  const run = async (input: RouteInput) => route.handle(input)
  return async (input) => {
    if (input.caller) return audit.around(deedOf(actionOf(input), input), () => run(input), namesIn)
    const result = await run(input)
    await audit.done(deedOf(actionOf(input), input))
    return result
  }
}

function deedOf(action: string, { params, body, caller, request }: RouteInput): Deed {
  const stranger = (body as { email?: string } | undefined)?.email ?? ''
  return {
    action,
    tenantId: caller?.tenantId ?? 'default',
    targets: [...valuesOf(params), ...namesIn(body)],
    userId: caller?.userId ?? '',
    email: caller?.email ?? stranger,
    serviceTokenId: caller?.serviceTokenId,
    address: request.address,
    requestId: request.id
  }
}

function valuesOf(params: unknown): string[] {
  return Object.values(params ?? {}).map(String)
}

/** Fields that name things; never passwords, tokens or texts. */
const naming = /^(id|email|name|access|\w+_id|\w+_ids|\w+_id_list)$/

function namesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const many: unknown[] = Array.isArray(inner) ? inner : [inner]
    const plain = naming.test(key) ? many.filter((one) => typeof one === 'string' || typeof one === 'number') : []
    return [...plain.map(String), ...many.flatMap(namesIn)]
  })
}
