import {
  type CreatorsOf,
  linkerPaging,
  linkerRange,
  oneOf,
  type Route,
  route,
  type Static,
  Type,
  toLinkerPage,
  type UserNames
} from '@fleetgate/kit'
import { ById, Name, sortOf, toTime, UserId } from '../linkerFields.js'
import { ownerGone, toOwnerGone } from '../owners.js'
import type { Registries, Registry } from './registry.js'

/** As docker takes it; it also becomes the name of a folder on the hosts. */
const Address = Type.String({ maxLength: 255, pattern: '^[A-Za-z0-9](?:[A-Za-z0-9-]|\\.(?!\\.))*(?::[0-9]{1,5})?$' })
const Word = Type.String({ maxLength: 256, pattern: '^[^\\p{Cc}]*$', default: '' })

const Draft = Type.Object({
  name: Name,
  registry: Address,
  secure: Type.Boolean({ default: false }),
  ca_text: Type.String({ maxLength: 65_536, default: '' }),
  username: Word,
  password: Word,
  isSystemRegistry: Type.Boolean({ default: false }),
  user_id: Type.Optional(UserId)
})

const fields = { name: 'name', time_create: 'createdAt', TimeCreate: 'createdAt' } as const
const sorts = ['name', '-name', 'time_create', '-time_create', 'TimeCreate', '-TimeCreate'] as const
const Search = Type.Object({ ...linkerPaging, user_id: Type.Optional(UserId), sort: Type.Optional(oneOf(sorts)) })

export const RegistryReply = Type.Object({
  _id: Type.String(),
  name: Type.String(),
  registry: Type.String(),
  secure: Type.Boolean(),
  ca_text: Type.String(),
  username: Type.String(),
  /** Always empty: what was given is kept sealed. */
  password: Type.String(),
  user_id: Type.String(),
  ...ownerGone,
  tenant_id: Type.String(),
  isUse: Type.Boolean(),
  isSystemRegistry: Type.Boolean(),
  TimeCreate: Type.String()
})

const base = '/v1/dockerregistries'

export function registryRoutes(registries: Registries, creatorsOf: CreatorsOf): Route[] {
  return [
    route({
      method: 'post',
      path: base,
      summary: 'Tell of a private registry',
      needs: 'cluster.edit',
      body: Draft,
      reply: RegistryReply,
      handle: async ({ body, caller }) => {
        const { name, registry, secure, ca_text, username, password, isSystemRegistry, user_id } = body
        const draft = {
          name,
          address: registry,
          secure,
          ca: ca_text,
          username,
          password,
          isSystem: isSystemRegistry,
          userId: user_id
        }
        return toReply(await registries.create(draft, caller))
      }
    }),
    route({
      method: 'get',
      path: base,
      summary: 'List the registries of the tenant',
      needs: 'cluster.view',
      query: Search,
      reply: Type.Array(RegistryReply),
      handle: async ({ query, caller }) => {
        const filter = { userId: query.user_id, sort: sortOf(fields, query.sort ?? 'time_create') }
        const found = await registries.list(filter, linkerRange(query), caller)
        const owners = await creatorsOf(
          caller.tenantId,
          found.items.map(({ userId }) => userId)
        )
        return toLinkerPage(query, {
          items: found.items.map((one) => toRegistryReply(one, owners)),
          total: found.total
        })
      }
    }),
    route({
      method: 'get',
      path: `${base}/registryValidate`,
      summary: 'Whether a name is free (`type=name`), or a registry in no use (`type=used`)',
      needs: 'cluster.view',
      query: Type.Object({ type: oneOf(['name', 'used']), name: Name, user_id: Type.Optional(UserId) }),
      reply: Type.Null(),
      handle: async ({ query, caller }) => {
        await registries.validate(query.type, query.name, caller)
        return null
      }
    }),
    route({
      method: 'get',
      path: `${base}/:id`,
      summary: 'Read one registry',
      needs: 'cluster.view',
      params: ById,
      reply: RegistryReply,
      handle: async ({ params, caller }) => {
        const registry = await registries.get(params.id, caller)
        return toRegistryReply(registry, await creatorsOf(caller.tenantId, [registry.userId]))
      }
    }),
    route({
      method: 'delete',
      path: `${base}/:id`,
      summary: 'Forget a registry that no cluster uses',
      needs: 'cluster.edit',
      params: ById,
      handle: async ({ params, caller }) => {
        await registries.remove(params.id, caller)
      }
    })
  ]
}

export function toRegistryReply(registry: Registry, owners: UserNames | undefined): Static<typeof RegistryReply> {
  return { ...toReply(registry), ...toOwnerGone(registry.userId, owners) }
}

function toReply(registry: Registry): Static<typeof RegistryReply> {
  const { id, name, address, secure, ca, username, userId, tenantId, isUsed, isSystem, createdAt } = registry
  return {
    _id: id,
    name,
    registry: address,
    secure,
    ca_text: ca,
    username,
    password: '',
    user_id: userId,
    tenant_id: tenantId,
    isUse: isUsed,
    isSystemRegistry: isSystem,
    TimeCreate: toTime(createdAt)
  }
}
