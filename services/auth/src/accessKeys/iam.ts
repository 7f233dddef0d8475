import { oneOf, type Route, route, type Static, Type } from '@fleetgate/kit'
import { timeOf } from '../tokens/iam.js'
import type { AccessKeys, KeyToken } from './accessKeys.js'

const base = '/v3.0/OS-CREDENTIAL/credentials'
const states = ['active', 'inactive'] as const

const UserId = Type.String({ minLength: 1, maxLength: 64 })
const Description = Type.String({ maxLength: 255 })
const ByKey = Type.Object({ access_key: Type.String({ maxLength: 64 }) })

const Draft = Type.Object({
  credential: Type.Object({ user_id: UserId, description: Type.Optional(Description) })
})
const Change = Type.Object({
  credential: Type.Object({ status: Type.Optional(oneOf(states)), description: Type.Optional(Description) })
})

const Fields = {
  access: Type.String(),
  user_id: Type.String(),
  description: Type.String(),
  status: oneOf(states),
  create_time: Type.String()
}
const Listed = Type.Object(Fields)
const Created = Type.Object({ credential: Type.Object({ ...Fields, secret: Type.String() }) })
const One = Type.Object({ credential: Listed })
const Seen = Type.Object({ credential: Type.Object({ ...Fields, last_use_time: Type.String() }) })

/** IAM, "permanent access keys". */
export function accessKeyRoutes(keys: AccessKeys): Route[] {
  return [
    route({
      method: 'post',
      path: base,
      summary: 'Make an access key of your own; its secret is told only now',
      needs: 'signedIn',
      body: Draft,
      reply: Created,
      status: 201,
      handle: async ({ body: { credential }, caller }) => {
        const draft = { userId: credential.user_id, description: credential.description ?? '' }
        const { token, secret } = await keys.create(draft, caller)
        return { credential: { ...toReply(token), secret } }
      }
    }),
    route({
      method: 'get',
      path: base,
      summary: 'Your access keys, newest first, or for a super admin those of `user_id`',
      needs: 'signedIn',
      query: Type.Object({ user_id: Type.Optional(UserId) }),
      reply: Type.Object({ credentials: Type.Array(Listed) }),
      handle: async ({ query, caller }) => ({
        credentials: (await keys.list({ userId: query.user_id }, caller)).map(toReply)
      })
    }),
    route({
      method: 'get',
      path: `${base}/:access_key`,
      summary: 'Read one access key, with the time of its last use',
      needs: 'signedIn',
      params: ByKey,
      reply: Seen,
      handle: async ({ params, caller }) => {
        const token = await keys.get(params.access_key, caller)
        return { credential: { ...toReply(token), last_use_time: timeOf(token.lastUsedAt ?? token.createdAt) } }
      }
    }),
    route({
      method: 'put',
      path: `${base}/:access_key`,
      summary: 'Describe, activate or deactivate an access key',
      needs: 'signedIn',
      params: ByKey,
      body: Change,
      reply: One,
      handle: async ({ params, body: { credential }, caller }) => {
        const { status, description } = credential
        const change = {
          ...(description === undefined ? {} : { description }),
          ...(status === undefined ? {} : { isActive: status === 'active' })
        }
        return { credential: toReply(await keys.change(params.access_key, change, caller)) }
      }
    }),
    route({
      method: 'delete',
      path: `${base}/:access_key`,
      summary: 'Delete an access key: it is refused everywhere within a second',
      needs: 'signedIn',
      params: ByKey,
      status: 204,
      handle: ({ params, caller }) => keys.remove(params.access_key, caller)
    })
  ]
}

function toReply({ access, userId, createdAt }: KeyToken): Static<typeof Listed> {
  return {
    access: access.key,
    user_id: userId,
    description: access.description,
    status: access.isActive ? 'active' : 'inactive',
    create_time: timeOf(createdAt)
  }
}
