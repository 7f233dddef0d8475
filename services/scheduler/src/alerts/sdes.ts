import {
  alertKinds,
  oneOf,
  type Route,
  route,
  SdesPage,
  type Static,
  sdesRange,
  Type,
  toSdesPage
} from '@fleetgate/kit'
import { Flag, MaybeTime, Success, sdesPaging, toFlag } from '../sdesFields.js'
import type { Alert } from './alert.js'
import type { Alerts } from './alerts.js'

const Row = Type.Object({
  alertId: Type.String(),
  kind: oneOf(alertKinds),
  subjectId: Type.Integer(),
  message: Type.String(),
  raisedAt: Type.Number(),
  closedAt: MaybeTime,
  open: Type.Boolean()
})
const ById = Type.Object({ alertId: Type.String({ minLength: 1, maxLength: 256 }) })

/** Routes of ours: the document only counts alerts. */
export function alertRoutes(alerts: Alerts): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/dashboard/alerts',
      summary: 'Alerts, the newest first: jobs that failed and clients that are away for too long',
      needs: ['job.view', 'client.view'],
      query: Type.Object({
        ...sdesPaging,
        kind: Type.Optional(oneOf(alertKinds)),
        open: Type.Optional(Flag),
        startAt: Type.Optional(Type.Number({ minimum: 0 }))
      }),
      reply: SdesPage(Row),
      handle: async ({ query, caller: { tenantId } }) => {
        const { kind, startAt: since } = query
        const found = await alerts.list({ tenantId, kind, since, open: toFlag(query.open) }, sdesRange(query))
        return toSdesPage({ ...found, items: found.items.map(toRow) })
      }
    }),
    route({
      method: 'put',
      path: '/v1/dashboard/alerts/:alertId/close',
      summary: 'Close an alert that was looked at',
      needs: ['job.edit', 'client.edit'],
      params: ById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await alerts.close(caller.tenantId, params.alertId)
        return 'success'
      }
    })
  ]
}

function toRow({ _id, kind, subjectId, message, raisedAt, closedAt, open }: Alert): Static<typeof Row> {
  return { alertId: _id, kind, subjectId, message, raisedAt, closedAt: closedAt ?? null, open: open ?? false }
}
