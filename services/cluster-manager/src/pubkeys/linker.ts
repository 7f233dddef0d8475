import {
  type CreatorsOf,
  linkerPaging,
  linkerRange,
  oneOf,
  type Route,
  raw,
  route,
  type Static,
  Type,
  toLinkerPage,
  type UserNames
} from '@fleetgate/kit'
import { ById, Name, sortOf, toTime, UserId } from '../linkerFields.js'
import { ownerGone, toOwner } from '../owners.js'
import type { Pubkey, Pubkeys } from './pubkey.js'
import type { PubkeyFilter } from './pubkeyStore.js'

const Upload = Type.Object({
  name: Name,
  pubkeyValue: Type.String({ minLength: 1, maxLength: 16384 }),
  user_id: Type.Optional(UserId)
})
const Creation = Type.Object({ name: Name, user_id: Type.Optional(UserId) })

/** A leading minus turns the order round, as Linker's database driver had it. */
const sorts = ['name', '-name', 'time_create', '-time_create', 'time_update', '-time_update'] as const
const Search = Type.Object({
  ...linkerPaging,
  name: Type.Optional(Type.String({ maxLength: 64 })),
  user_id: Type.Optional(UserId),
  sort: Type.Optional(oneOf(sorts))
})

const Reply = Type.Object({
  _id: Type.String(),
  pubkeyValue: Type.String(),
  name: Type.String(),
  owner: Type.String(),
  ...ownerGone,
  user_id: Type.String(),
  isuse: Type.Boolean(),
  tenant_id: Type.String(),
  time_create: Type.String(),
  time_update: Type.String()
})

export function pubkeyRoutes(pubkeys: Pubkeys, creatorsOf: CreatorsOf): Route[] {
  return [...ownerRoutes(pubkeys), ...readRoutes(pubkeys, creatorsOf)]
}

function ownerRoutes(pubkeys: Pubkeys): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/pubkey',
      summary: 'Upload a public key',
      needs: 'key.edit',
      body: Upload,
      reply: Reply,
      handle: async ({ body, caller }) =>
        toReply(await pubkeys.upload({ name: body.name, value: body.pubkeyValue, userId: body.user_id }, caller))
    }),
    route({
      method: 'post',
      path: '/v1/pubkey/userSelfCreate',
      summary: 'Generate a key pair; the private key can be downloaded once',
      needs: 'key.edit',
      body: Creation,
      reply: Type.String({ description: 'the user id that downLoadKey takes' }),
      handle: async ({ body, caller }) =>
        (await pubkeys.generate({ name: body.name, userId: body.user_id }, caller)).userId
    }),
    route({
      method: 'get',
      path: '/v1/pubkey/downLoadKey/:user_id',
      summary: 'Download the private key of your newest generated pair, once; `name` picks another pair',
      needs: 'key.edit',
      params: Type.Object({ user_id: UserId }),
      query: Type.Object({ name: Type.Optional(Name) }),
      bare: true,
      handle: async ({ params, query, caller }) => toFile(await pubkeys.download(params.user_id, query.name, caller))
    }),
    route({
      method: 'delete',
      path: '/v1/pubkey/:id',
      summary: 'Delete a key that no cluster uses',
      needs: 'key.edit',
      params: ById,
      reply: Type.Null(),
      handle: async ({ params, caller }) => {
        await pubkeys.remove(params.id, caller)
        return null
      }
    })
  ]
}

function readRoutes(pubkeys: Pubkeys, creatorsOf: CreatorsOf): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/pubkey',
      summary: 'List the keys of the tenant',
      needs: 'key.view',
      query: Search,
      reply: Type.Array(Reply),
      handle: async ({ query, caller }) => {
        const found = await pubkeys.list(toFilter(query), linkerRange(query), caller)
        const owners = await creatorsOf(
          caller.tenantId,
          found.items.map(({ userId }) => userId)
        )
        return toLinkerPage(query, { items: found.items.map((key) => toShown(key, owners)), total: found.total })
      }
    }),
    route({
      method: 'get',
      path: '/v1/pubkey/:id',
      summary: 'Read one key',
      needs: 'key.view',
      params: ById,
      reply: Reply,
      handle: async ({ params, caller }) => {
        const key = await pubkeys.get(params.id, caller)
        return toShown(key, await creatorsOf(caller.tenantId, [key.userId]))
      }
    })
  ]
}

const sortField = { name: 'name', time_create: 'createdAt', time_update: 'updatedAt' } as const

function toFilter({ name, user_id, sort = 'time_create' }: Static<typeof Search>): PubkeyFilter {
  return { name, userId: user_id, sort: sortOf(sortField, sort) }
}

function toReply(key: Pubkey): Static<typeof Reply> {
  return {
    _id: key.id,
    pubkeyValue: key.value,
    name: key.name,
    owner: key.owner,
    user_id: key.userId,
    isuse: key.isUsed,
    tenant_id: key.tenantId,
    time_create: toTime(key.createdAt),
    time_update: toTime(key.updatedAt)
  }
}

function toShown(key: Pubkey, owners: UserNames | undefined): Static<typeof Reply> {
  return { ...toReply(key), ...toOwner('owner', key, owners) }
}

/** The bare PEM, as the document shows it; no cache may keep it. */
function toFile(pem: string) {
  return raw({
    headers: {
      'content-type': 'text/plain; charset=utf-8',
      'content-disposition': 'attachment; filename="id_rsa.pem"',
      'cache-control': 'no-store'
    },
    body: pem
  })
}
