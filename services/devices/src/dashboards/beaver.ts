import {
  beaverCreator,
  type Route,
  recordOf,
  route,
  type Static,
  Type,
  toBeaverCreator,
  type UserNames
} from '@fleetgate/kit'
import { ById, NumericId } from '../beaverIds.js'
import type { Dashboard, Dashboards, Widget, WidgetDraft } from './dashboard.js'

const digits = '^[0-9]{1,19}$'
const Name = Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' })
const Data = recordOf(Type.Unknown())

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

export const Widgets = Type.Array(
  Type.Object({
    widget_id: Type.String(),
    data: Data,
    /** Ids and keys in the data that name no entity (any more). */
    missing: Type.Optional(Type.Array(Type.String()))
  })
)
const Reply = Type.Object({
  dashboard_id: Type.String(),
  ...beaverCreator,
  name: Type.String(),
  home: Type.Boolean(),
  widgets: Type.Optional(Widgets),
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
      summary: 'All dashboards, in the order that the caller gave them, else of creation',
      needs: 'dashboard.view',
      reply: Type.Array(Reply),
      handle: async ({ caller }) => {
        const { items, creators, homeId, missing } = await dashboards.list(caller)
        return items.map((dashboard) => ({
          ...toReply(dashboard, creators),
          ...toWidgets(dashboard.widgets, missing),
          home: dashboard.id === homeId
        }))
      }
    }),
    route({
      method: 'put',
      path: '/dashboard/order',
      summary: 'Put dashboards in an order for the caller (ours); those that are not named follow',
      needs: 'dashboard.view',
      body: Type.Object({ dashboard_ids: Type.Array(NumericId, { maxItems: 1000 }) }),
      handle: ({ body, caller }) => dashboards.arrange(body.dashboard_ids.map(String), caller)
    }),
    route({
      method: 'post',
      path: '/dashboard/:id/home',
      summary: 'Make a dashboard the home of the caller, who has one at most',
      needs: 'dashboard.view',
      params: ById,
      handle: ({ params, caller }) => dashboards.setHome(params.id, true, caller)
    }),
    route({
      method: 'post',
      path: '/dashboard/:id/cancel-home',
      summary: 'Make it the home no longer',
      needs: 'dashboard.view',
      params: ById,
      handle: ({ params, caller }) => dashboards.setHome(params.id, false, caller)
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
      needs: ['dashboard.delete', 'dashboard.edit'],
      params: ById,
      handle: ({ params, caller }) => dashboards.remove(params.id, caller)
    })
  ]
}

function toDraft({ widget_id, data }: Static<typeof Change>['widgets'][number]): WidgetDraft {
  return widget_id === undefined || widget_id === null ? { data } : { id: String(widget_id), data }
}

function toReply(dashboard: Dashboard, creators: UserNames | undefined) {
  return {
    dashboard_id: dashboard.id,
    ...toBeaverCreator(dashboard.userId, creators),
    name: dashboard.name,
    created_at: String(dashboard.createdAt)
  }
}

/** `widgets` is left out when there are none, as every empty thing in Beaver's answers. */
export function toWidgets(
  widgets: readonly Widget[],
  missing?: (widget: Widget) => string[]
): { widgets?: Static<typeof Widgets> } {
  if (widgets.length === 0) return {}
  return {
    widgets: widgets.map((widget) => {
      const gone = missing?.(widget) ?? []
      return { widget_id: widget.id, data: widget.data, ...(gone.length > 0 ? { missing: gone } : {}) }
    })
  }
}
