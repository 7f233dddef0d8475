import { AppError, oneOf, type Route, raw, route, type Static, Type } from '@fleetgate/kit'
import type { Members, RoleName } from '../users/members.js'
import { defaultTenant } from '../users/user.js'
import type { Issued, Tokens } from './tokens.js'

const Name = Type.String({ minLength: 1, maxLength: 256 })
/** Of a project or a domain: both are the tenant, whose name is its id. */
const Place = Type.Object({ id: Type.Optional(Name), name: Type.Optional(Name) })
type Place = Static<typeof Place>

const Login = Type.Object({
  auth: Type.Object({
    identity: Type.Object({
      methods: Type.Array(oneOf(['password']), { minItems: 1, maxItems: 1 }),
      password: Type.Object({
        user: Type.Object({
          name: Type.String({ minLength: 1, maxLength: 320 }),
          password: Type.String({ maxLength: 1024 }),
          domain: Type.Optional(Place)
        })
      })
    }),
    scope: Type.Optional(Type.Object({ project: Type.Optional(Place), domain: Type.Optional(Place) }))
  })
})
type Login = Static<typeof Login>

const Named = Type.Object({ id: Type.String(), name: Type.String() })
const Project = Type.Object({ id: Type.String(), name: Type.String(), domain: Named })
const Endpoint = Type.Object({
  id: Type.String(),
  interface: Type.String(),
  region: Type.String(),
  region_id: Type.String(),
  url: Type.String()
})
const Catalog = Type.Array(
  Type.Object({ id: Type.String(), type: Type.String(), name: Type.String(), endpoints: Type.Array(Endpoint) })
)
const Reply = Type.Object({
  token: Type.Object({
    methods: Type.Array(Type.String()),
    issued_at: Type.String(),
    expires_at: Type.String(),
    user: Type.Object({ id: Type.String(), name: Type.String(), domain: Named, password_expires_at: Type.String() }),
    roles: Type.Array(Named),
    catalog: Catalog,
    project: Type.Optional(Project),
    domain: Type.Optional(Named)
  })
})

export interface IamLoginOptions {
  tokens: Tokens
  members: Pick<Members, 'profile'>
  now: () => number
}

/** IAM, "obtaining a token by password" (Keystone v3). The token comes in a header and goes into X-Auth-Token. */
export function iamLoginRoutes({ tokens, members, now }: IamLoginOptions): Route[] {
  return [
    route({
      method: 'post',
      path: '/v3/auth/tokens',
      summary:
        'Log in; the header X-Subject-Token of the answer goes into X-Auth-Token. Project and domain are the tenant',
      needs: 'public',
      query: Type.Object({ nocatalog: Type.Optional(Type.String()) }),
      body: Login,
      reply: Reply,
      status: 201,
      handle: async ({ body, query, request }) => {
        const { name, password, domain } = body.auth.identity.password.user
        const username = loginName(name, domain)
        const issued = await tokens.logIn({ username, password, address: request.address })
        const { user } = issued
        checkPlaces(body, user.tenantId)
        const { roles } = await members.profile(user)
        const token = toToken({ body, issued, roles, at: now() })
        const catalog = query.nocatalog === undefined ? catalogOf(originOf(request.headers), user.tenantId) : []
        return raw({
          status: 201,
          headers: { 'x-subject-token': issued.accessToken, 'cache-control': 'no-store' },
          body: { token: { ...token, catalog } }
        })
      }
    })
  ]
}

/** Addresses are unique over all tenants; a user name needs its tenant before it, unless that is the default one. */
function loginName(name: string, domain: Place | undefined): string {
  const tenant = domain?.name ?? domain?.id ?? defaultTenant
  return name.includes('@') || name.includes('/') || tenant === defaultTenant ? name : `${tenant}/${name}`
}

/** A place of somebody else is refused like a wrong password: it tells nobody which tenant an address belongs to. */
function checkPlaces({ auth }: Login, tenantId: string): void {
  const places = [auth.identity.password.user.domain, auth.scope?.project, auth.scope?.domain]
  const named = places.flatMap((place) => [place?.id ?? tenantId, place?.name ?? tenantId])
  if (named.every((name) => name === tenantId)) return
  throw new AppError('bad_credentials', 'user name or password is wrong, or project or domain is not that of the user')
}

interface Entry {
  body: Login
  issued: Issued
  roles: RoleName[]
  at: number
}

function toToken({
  body,
  issued: { user, expiresIn },
  roles,
  at
}: Entry): Omit<Static<typeof Reply>['token'], 'catalog'> {
  const domain = { id: user.tenantId, name: user.tenantId }
  const scope = body.auth.scope?.project ? { project: { ...domain, domain } } : { domain }
  return {
    methods: ['password'],
    issued_at: timeOf(at),
    expires_at: timeOf(at + expiresIn * 1000),
    user: { id: user.id, name: body.auth.identity.password.user.name, domain, password_expires_at: '' },
    roles,
    ...scope
  }
}

/** Where the client reached us, as the gateway says. */
function originOf(headers: Record<string, string | string[] | undefined>): string {
  const { 'x-forwarded-proto': proto = 'http', 'x-forwarded-host': host = headers.host ?? '' } = headers
  return `${String(proto)}://${String(host)}`
}

function catalogOf(origin: string, tenantId: string): Static<typeof Catalog> {
  return [
    { id: 'dms', type: 'dms', path: `/v2/${tenantId}` },
    { id: 'iam', type: 'identity', path: '/v3' }
  ].map(({ id, type, path }) => ({
    id,
    type,
    name: id,
    endpoints: [{ id, interface: 'public', region: '*', region_id: '*', url: origin + path }]
  }))
}

/** Microseconds, as Keystone writes its times. */
export function timeOf(at: number): string {
  return new Date(at).toISOString().replace('Z', '000Z')
}
