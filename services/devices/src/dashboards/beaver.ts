import { beaverCreator, type Route, route, type Static, Type, toBeaverCreator, type UserNames } from '@fleetgate/kit'
import type { Dashboard, Dashboards, WidgetDraft } from './dashboard.js'

const digits = '^[0-9]{1,19}$'
const ById = Type.Object({ id: Type.String({ pattern: digits }) })
const Name = Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' })
const Data = Type.Record(Type.String(), Type.Unknown())

/** Beaver takes ids as strings and as numbers; null is the web client's way to leave one out. */
const WidgetId = Type.Unsafe<string | number | null>({
  type: ['string', 'integer', 'null'],
  pattern: digits,
  minimum: 0
})

const Draft = Type.Object({ name: Name })
const Change = Type.Object({
  name: Name,
  widgets: Type.Array(Type.Object({ widget_id: Type.Optional(WidgetId), data: Data }), { maxItems: 1000 })
})

const Reply = Type.Object({
  dashboard_id: Type.String(),
  ...beaverCreator,
  name: Type.String(),
  widgets: Type.Optional(Type.Array(Type.Object({ widget_id: Type.String(), data: Data }))),
  created_at: Type.String()
})

export function dashboardRoutes(dashboards: Dashboards): Route[] {
  return [
    route({
      method: 'post',
      path: '/dashboard',
      summary: 'Create a dashboard',
      needs: 'dashboard.add',
      body: Draft,
      reply: Type.Object({ dashboard_id: Type.String() }),
      handle: async ({ body, caller }) => ({ dashboard_id: await dashboards.add(body.name, caller) })
    }),
    route({
      method: 'get',
      path: '/dashboard/dashboards',
      summary: 'All dashboards in order of creation',
      needs: 'dashboard.view',
      reply: Type.Array(Reply),
      handle: async ({ caller }) => {
        const { items, creators } = await dashboards.list(caller)
        return items.map((dashboard) => toReply(dashboard, creators))
      }
    }),
    route({
      method: 'put',
      path: '/dashboard/:id',
      summary: 'Rename a dashboard and replace its widgets',
      needs: 'dashboard.edit',
      params: ById,
      body: Change,
      handle: ({ params, body, caller }) =>
        dashboards.update(params.id, { name: body.name, widgets: body.widgets.map(toDraft) }, caller)
    }),
    route({
      method: 'delete',
      path: '/dashboard/:id',
      summary: 'Delete a dashboard',
      needs: 'dashboard.edit',
      params: ById,
      handle: ({ params, caller }) => dashboards.remove(params.id, caller)
    })
  ]
}

function toDraft({ widget_id, data }: Static<typeof Change>['widgets'][number]): WidgetDraft {
  return widget_id === undefined || widget_id === null ? { data } : { id: String(widget_id), data }
}

/** `widgets` is left out when there are none, as every empty thing in Beaver's answers. */
function toReply(dashboard: Dashboard, creators: UserNames | undefined): Static<typeof Reply> {
  const widgets = dashboard.widgets.map(({ id, data }) => ({ widget_id: id, data }))
  return {
    dashboard_id: dashboard.id,
    ...toBeaverCreator(dashboard.userId, creators),
    name: dashboard.name,
    ...(widgets.length > 0 ? { widgets } : {}),
    created_at: String(dashboard.createdAt)
  }
}
