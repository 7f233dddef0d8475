import {
  type CreatorsOf,
  linkerPaging,
  linkerRange,
  oneOf,
  type Route,
  recordOf,
  route,
  type Static,
  Type,
  toLinkerPage
} from '@fleetgate/kit'
import { ById, Name, sortOf, toTime, UserId } from '../linkerFields.js'
import { ownerGone, toOwnerGone } from '../owners.js'
import { providerTypes } from './driver.js'
import type { Provider, ProviderDraft, Providers } from './provider.js'
import { infos, SshUser, settingsOf, toInfos } from './providerFields.js'

const Draft = Type.Object({
  name: Name,
  type: oneOf(providerTypes),
  user_id: Type.Optional(UserId),
  sshUser: SshUser,
  /** Ours: where SSH listens on the machines of its image. */
  sshPort: Type.Integer({ minimum: 1, maximum: 65_535, default: 22 }),
  ...infos
})

const fields = { name: 'name', type: 'type', time_create: 'createdAt', time_update: 'updatedAt' } as const
const sorts = Object.keys(fields).flatMap((name) => [name, `-${name}`])
const Search = Type.Object({
  ...linkerPaging,
  type: Type.Optional(oneOf(providerTypes)),
  user_id: Type.Optional(UserId),
  sort: Type.Optional(oneOf(sorts))
})

const Info = recordOf(Type.String())
const Reply = Type.Object({
  _id: Type.String(),
  name: Type.String(),
  type: oneOf(providerTypes),
  sshUser: Type.String(),
  sshPort: Type.Integer(),
  openstackInfo: Info,
  awsEc2Info: Info,
  googleInfo: Info,
  user_id: Type.String(),
  ...ownerGone,
  tenant_id: Type.String(),
  isuse: Type.Boolean(),
  time_create: Type.String(),
  time_update: Type.String()
})

const base = '/v1/provider'

export function providerRoutes(providers: Providers, creatorsOf: CreatorsOf): Route[] {
  return [...readRoutes(providers, creatorsOf), ...changeRoutes(providers)]
}

function readRoutes(providers: Providers, creatorsOf: CreatorsOf): Route[] {
  return [
    route({
      method: 'get',
      path: base,
      summary: 'List the accounts at clouds, without their secrets',
      needs: 'cluster.view',
      query: Search,
      reply: Type.Array(Reply),
      handle: async ({ query, caller }) => {
        const { type, user_id, sort = 'time_create' } = query
        const filter = { type, userId: user_id, sort: sortOf(fields, sort) }
        const found = await providers.list(filter, linkerRange(query), caller)
        const owners = await creatorsOf(
          caller.tenantId,
          found.items.map(({ userId }) => userId)
        )
        const items = found.items.map((one) => ({ ...toReply(one), ...toOwnerGone(one.userId, owners) }))
        return toLinkerPage(query, { items, total: found.total })
      }
    }),
    route({
      method: 'get',
      path: `${base}/validate`,
      summary: 'Whether a name is good and free',
      needs: 'cluster.view',
      query: Type.Object({ provider_name: Name }),
      reply: Type.Null(),
      handle: async ({ query, caller }) => {
        await providers.validate(query.provider_name, caller)
        return null
      }
    }),
    route({
      method: 'get',
      path: `${base}/:id`,
      summary: 'Read one account at a cloud, without its secret',
      needs: 'cluster.view',
      params: ById,
      reply: Reply,
      handle: async ({ params, caller }) => {
        const provider = await providers.get(params.id, caller)
        const owners = await creatorsOf(caller.tenantId, [provider.userId])
        return { ...toReply(provider), ...toOwnerGone(provider.userId, owners) }
      }
    })
  ]
}

function changeRoutes(providers: Providers): Route[] {
  return [
    route({
      method: 'post',
      path: base,
      summary: 'Add an account at a cloud that makes machines for clusters',
      needs: 'cluster.edit',
      body: Draft,
      reply: Reply,
      handle: async ({ body, caller }) => toReply(await providers.create(toDraft(body), caller))
    }),
    route({
      method: 'put',
      path: `${base}/:id`,
      summary: 'Replace an account at a cloud; without its secret the kept one stays',
      needs: 'cluster.edit',
      params: ById,
      body: Draft,
      reply: Type.Object({ created: Type.Boolean(), url: Type.String() }),
      handle: async ({ params, body, caller }) => {
        await providers.replace(params.id, toDraft(body), caller)
        return { created: false, url: `${base}/${params.id}` }
      }
    }),
    route({
      method: 'post',
      path: `${base}/:id/check`,
      summary: 'Ask the cloud whether log-in and settings are good (ours)',
      needs: 'cluster.edit',
      params: ById,
      handle: async ({ params, caller }) => {
        await providers.check(params.id, caller)
      }
    }),
    route({
      method: 'delete',
      path: `${base}/:id`,
      summary: 'Forget an account that no cluster has machines of',
      needs: 'cluster.edit',
      params: ById,
      handle: async ({ params, caller }) => {
        await providers.remove(params.id, caller)
      }
    })
  ]
}

function toDraft(body: Static<typeof Draft>): ProviderDraft {
  const { name, type, user_id, sshUser, sshPort } = body
  return { name, type, userId: user_id, sshUser, sshPort, ...settingsOf(type, body) }
}

function toReply(provider: Provider): Static<typeof Reply> {
  const { id, name, type, sshUser, sshPort, settings, sealedSecret, userId, tenantId, isUsed } = provider
  return {
    _id: id,
    name,
    type,
    sshUser,
    sshPort,
    ...toInfos(type, settings, sealedSecret !== ''),
    user_id: userId,
    tenant_id: tenantId,
    isuse: isUsed,
    time_create: toTime(provider.createdAt),
    time_update: toTime(provider.updatedAt)
  }
}
