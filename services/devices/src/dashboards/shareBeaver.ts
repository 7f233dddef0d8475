import { beaverCreator, type CreatorsOf, type Route, route, type Static, Type, toBeaverCreator } from '@fleetgate/kit'
import { ById } from '../beaverIds.js'
import { Status, toStatus } from '../entities/beaverValues.js'
import { Found, toFound } from '../history/beaver.js'
import { toWidgets, Widgets } from './beaver.js'
import type { Share } from './shareStore.js'
import type { Shares } from './shares.js'

const Time = Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 })
const digits = '^[0-9]{1,19}$'

const Link = Type.Object({
  share_id: Type.String(),
  ...beaverCreator,
  user_id: Type.String(),
  created_at: Type.String(),
  expires_at: Type.String()
})
const ByToken = Type.Object({ token: Type.String({ pattern: '^[A-Za-z0-9_-]{20,64}$' }) })
const Shown = Type.Object({
  name: Type.String(),
  widgets: Type.Optional(Widgets),
  entities: Type.Array(
    Type.Object({
      entity_id: Type.String(),
      entity_key: Type.String(),
      entity_name: Type.String(),
      value_type: Type.String(),
      status: Status
    })
  )
})

/** Links to dashboards (ours). The two routes of `shared` take no token of a user: the link's own is in their path. */
export function dashboardShareRoutes(shares: Shares, creatorsOf: CreatorsOf, now: () => number): Route[] {
  return [
    route({
      method: 'post',
      path: '/dashboard/:id/share',
      summary: 'Make a link by which anybody may look at a dashboard until it expires; its token is shown this once',
      needs: 'dashboard.edit',
      params: ById,
      body: Type.Object({ expires_at: Time }),
      reply: Type.Composite([Link, Type.Object({ token: Type.String() })]),
      handle: async ({ params, body, caller }) => {
        const { share, token } = await shares.add(params.id, body.expires_at, caller)
        return { ...toLink(share), token }
      }
    }),
    route({
      method: 'get',
      path: '/dashboard/:id/share',
      summary: 'The links to a dashboard, without their tokens',
      needs: 'dashboard.edit',
      params: ById,
      reply: Type.Array(Link),
      handle: async ({ params, caller }) => {
        const links = await shares.list(params.id, caller)
        const makers = await creatorsOf(
          caller.tenantId,
          links.map(({ userId }) => userId)
        )
        return links.map((share) => ({ ...toBeaverCreator(share.userId, makers), ...toLink(share) }))
      }
    }),
    route({
      method: 'delete',
      path: '/dashboard/:id/share/:share',
      summary: 'Take a link back',
      needs: 'dashboard.edit',
      params: Type.Object({ id: Type.String({ pattern: digits }), share: Type.String({ pattern: digits }) }),
      handle: ({ params, caller }) => shares.remove(params.id, params.share, caller)
    }),
    route({
      method: 'get',
      path: '/dashboard/shared/:token',
      summary: 'The dashboard behind a link, with the latest values of the entities that its widgets name',
      needs: 'public',
      params: ByToken,
      reply: Shown,
      handle: async ({ params }) => {
        const { dashboard, entities, missing } = await shares.show(params.token)
        return {
          name: dashboard.name,
          ...toWidgets(dashboard.widgets, missing),
          entities: entities.map((entity) => ({
            entity_id: entity.id,
            entity_key: entity.key,
            entity_name: entity.name,
            value_type: entity.valueType,
            status: toStatus(entity)
          }))
        }
      }
    }),
    route({
      method: 'get',
      path: '/dashboard/shared/:token/history',
      summary:
        'Values of an entity of the dashboard behind a link, newest first, at most 1,000; both times are inclusive',
      needs: 'public',
      params: ByToken,
      query: Type.Object({
        entity_id: Type.String({ pattern: digits }),
        start_timestamp: Type.Optional(Time),
        end_timestamp: Type.Optional(Time)
      }),
      reply: Type.Array(Found),
      handle: async ({ params, query }) => {
        const { entity_id: entityId, start_timestamp: from = 0, end_timestamp: to = now() } = query
        const { items } = await shares.points(params.token, { entityId, from, to })
        return items.map(toFound)
      }
    })
  ]
}

function toLink({ id, userId, createdAt, expiresAt }: Share): Static<typeof Link> {
  return { share_id: id, user_id: userId, created_at: String(createdAt), expires_at: String(expiresAt) }
}
