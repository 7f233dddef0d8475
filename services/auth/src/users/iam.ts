import { type Caller, type Route, route, type Static, Type } from '@fleetgate/kit'

const Links = Type.Object({ self: Type.String() })
const Fields = {
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  enabled: Type.Boolean(),
  links: Links
}
const Domain = Type.Object(Fields)
const Project = Type.Object({
  ...Fields,
  domain_id: Type.String(),
  parent_id: Type.String(),
  is_domain: Type.Boolean()
})

/**
 * IAM, where clients that were told only an access key find out their project and their account: the tenant is both. There
 * are no regions, of which clients make the name of the project they look for: each has the same one.
 */
export function iamPlaceRoutes(): Route[] {
  return [
    route({
      method: 'get',
      path: '/v3/projects',
      aliases: ['/v3/auth/projects'],
      summary: 'The project of the caller, by whatever name it is looked for',
      needs: 'signedIn',
      query: Type.Object({ name: Type.Optional(Type.String({ maxLength: 256 })) }),
      reply: Type.Object({ projects: Type.Array(Project), links: Links }),
      handle: ({ query, caller }) => ({
        projects: [toProject(caller, query.name ?? caller.tenantId)],
        links: { self: '/v3/projects' }
      })
    }),
    route({
      method: 'get',
      path: '/v3/auth/domains',
      summary: 'The account of the caller',
      needs: 'signedIn',
      reply: Type.Object({ domains: Type.Array(Domain), links: Links }),
      handle: ({ caller }) => ({
        domains: [fieldsOf(caller.tenantId, `/v3/domains/${caller.tenantId}`)],
        links: { self: '/v3/auth/domains' }
      })
    })
  ]
}

function toProject({ tenantId }: Caller, name: string): Static<typeof Project> {
  const fields = fieldsOf(tenantId, `/v3/projects/${tenantId}`)
  return { ...fields, name, domain_id: tenantId, parent_id: tenantId, is_domain: false }
}

function fieldsOf(id: string, self: string): Static<typeof Domain> {
  return { id, name: id, description: '', enabled: true, links: { self } }
}
