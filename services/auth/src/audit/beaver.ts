import {
  type AuditRecord,
  auditResults,
  BeaverPage,
  beaverPaging,
  beaverRange,
  oneOf,
  type Route,
  route,
  type Static,
  Type,
  toBeaverCreator,
  toBeaverPage,
  type UserNames
} from '@fleetgate/kit'
import type { Audit } from './audit.js'

const Id = Type.Unsafe<string | number>({ type: ['string', 'integer'], pattern: '^[0-9]{1,19}$', minimum: 0 })
/** Epoch ms. */
const Time = Type.Unsafe<string | number>({
  type: ['string', 'integer'],
  pattern: '^[0-9]{1,14}$',
  minimum: 0,
  maximum: 1e14
})

const Query = Type.Object({
  ...beaverPaging,
  service: Type.Optional(Type.String({ maxLength: 64 })),
  user_id: Type.Optional(Id),
  action: Type.Optional(Type.String({ maxLength: 128 })),
  target: Type.Optional(Type.String({ maxLength: 320 })),
  from: Type.Optional(Time),
  to: Type.Optional(Time)
})

const Entry = Type.Object({
  id: Type.String(),
  created_at: Type.String(),
  service: Type.String(),
  action: Type.String(),
  targets: Type.Array(Type.String()),
  user_id: Type.String(),
  user_nickname: Type.Optional(Type.String()),
  user_deleted: Type.Optional(Type.Boolean()),
  email: Type.String(),
  token_id: Type.Optional(Type.String()),
  address: Type.String(),
  request_id: Type.String(),
  result: oneOf(auditResults),
  error: Type.Optional(Type.String())
})

export function auditRoutes(audit: Audit): Route[] {
  return [
    route({
      method: 'post',
      path: '/user/audit/search',
      summary: 'Who changed what, when and from where; newest first',
      needs: 'signedIn',
      body: Query,
      reply: BeaverPage(Entry),
      handle: async ({ body, caller }) => {
        const { items, total, actors } = await audit.search(toFilter(body), beaverRange(body), caller)
        return toBeaverPage(body, { items: items.map((entry) => toReply(entry, actors)), total })
      }
    })
  ]
}

function toFilter({ service, user_id, action, target, from, to }: Static<typeof Query>) {
  return {
    service,
    userId: user_id === undefined ? undefined : String(user_id),
    action,
    target,
    from: from === undefined ? undefined : Number(from),
    to: to === undefined ? undefined : Number(to)
  }
}

function toReply(entry: AuditRecord, actors: UserNames): Static<typeof Entry> {
  const { user_nickname, user_deleted } = toBeaverCreator(entry.userId, actors)
  return {
    id: entry.id,
    created_at: String(entry.at),
    service: entry.service,
    action: entry.action,
    targets: entry.targets,
    user_id: entry.userId,
    user_nickname,
    user_deleted,
    email: entry.email,
    ...(entry.serviceTokenId ? { token_id: entry.serviceTokenId } : {}),
    address: entry.address,
    request_id: entry.requestId,
    result: entry.result,
    ...(entry.error ? { error: entry.error } : {})
  }
}
