import {
  BeaverPage,
  beaverPaging,
  beaverRange,
  functionCodes,
  oneOf,
  type Route,
  route,
  type Static,
  Type,
  toBeaverPage
} from '@fleetgate/kit'
import type { ServiceToken } from './serviceTokenStore.js'
import type { ServiceTokens } from './serviceTokens.js'

const Draft = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' }),
  codes: Type.Array(oneOf(functionCodes), { minItems: 1, maxItems: 200 }),
  /** Epoch ms. */
  expires_at: Type.Optional(
    Type.Unsafe<string | number>({ type: ['string', 'integer'], pattern: '^[0-9]{1,14}$', minimum: 0, maximum: 1e14 })
  )
})
const ById = Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{32}$' }) })
const UserId = Type.Unsafe<string | number>({ type: ['string', 'integer'], pattern: '^[0-9]{1,19}$', minimum: 0 })

const Fields = {
  id: Type.String(),
  name: Type.String(),
  user_id: Type.String(),
  codes: Type.Array(Type.String()),
  created_at: Type.String(),
  expires_at: Type.String(),
  last_used_at: Type.Optional(Type.String()),
  /** Of access keys. */
  access_key: Type.Optional(Type.String())
}
const Listed = Type.Object(Fields)
const Created = Type.Object({ ...Fields, token: Type.String() })

export function serviceTokenRoutes(tokens: ServiceTokens): Route[] {
  return [
    route({
      method: 'post',
      path: '/user/tokens',
      summary: 'Make a service token: a long-lived key for a program, limited to some of your codes; told only now',
      needs: 'signedIn',
      body: Draft,
      reply: Created,
      handle: async ({ body: { name, codes, expires_at }, caller }) => {
        const expiresAt = expires_at === undefined ? undefined : Number(expires_at)
        const { token, text } = await tokens.create({ name, codes, expiresAt }, caller)
        return { ...toReply(token), token: text }
      }
    }),
    route({
      method: 'get',
      path: '/user/tokens',
      summary: 'Your service tokens, newest first, without their secrets',
      needs: 'signedIn',
      reply: Type.Array(Listed),
      handle: async ({ caller }) => (await tokens.list(caller)).map(toReply)
    }),
    route({
      method: 'post',
      path: '/user/tokens/search',
      summary: 'Service tokens, newest first: your own or, for a super admin, those of everybody',
      needs: 'signedIn',
      body: Type.Object({ ...beaverPaging, user_id: Type.Optional(UserId) }),
      reply: BeaverPage(Listed),
      handle: async ({ body, caller }) => {
        const of = { userId: body.user_id === undefined ? undefined : String(body.user_id) }
        const { items, total } = await tokens.search(of, beaverRange(body), caller)
        return toBeaverPage(body, { items: items.map(toReply), total })
      }
    }),
    route({
      method: 'delete',
      path: '/user/tokens/:id',
      summary: 'Revoke a service token: it is refused everywhere within a second',
      needs: 'signedIn',
      params: ById,
      handle: ({ params, caller }) => tokens.revoke(params.id, caller)
    })
  ]
}

function toReply(token: ServiceToken): Static<typeof Listed> {
  return {
    id: token.id,
    name: token.name,
    user_id: token.userId,
    codes: token.codes,
    created_at: String(token.createdAt),
    expires_at: String(token.expiresAt),
    ...(token.lastUsedAt === undefined ? {} : { last_used_at: String(token.lastUsedAt) }),
    ...(token.access && { access_key: token.access.key })
  }
}
