import { linkerPaging, linkerRange, oneOf, type Route, route, type Static, Type, toLinkerPage } from '@fleetgate/kit'
import { HexId, sortOf, toTime, UserId } from '../linkerFields.js'
import { type LogEntry, type Logs, logStatuses, operateTypes, queryTypes } from './log.js'

const fields = { time_create: 'createdAt', time_update: 'updatedAt' } as const
const sorts = ['time_create', '-time_create', 'time_update', '-time_update'] as const
const Search = Type.Object({
  ...linkerPaging,
  user_name: Type.Optional(Type.String({ maxLength: 254 })),
  user_id: Type.Optional(UserId),
  queryType: Type.Optional(oneOf(queryTypes)),
  cluster_id: Type.Optional(HexId),
  sort: Type.Optional(oneOf(sorts))
})
const Reply = Type.Object({
  _id: Type.String(),
  clusterName: Type.String(),
  clusterId: Type.String(),
  operateType: oneOf(operateTypes),
  queryType: oneOf(queryTypes),
  userName: Type.String(),
  user_id: Type.String(),
  tenant_id: Type.String(),
  status: oneOf(logStatuses),
  comments: Type.String(),
  time_create: Type.String(),
  time_update: Type.String()
})

export function logRoutes(logs: Logs): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/logs',
      summary: 'The operation log: who changed which cluster, host, key or registry, and how it ended',
      needs: 'cluster.view',
      query: Search,
      reply: Type.Array(Reply),
      handle: async ({ query, caller }) => {
        const { user_name, user_id, queryType, cluster_id, sort = 'time_update' } = query
        const filter = {
          userName: user_name,
          userId: user_id,
          queryType,
          clusterId: cluster_id,
          sort: sortOf(fields, sort)
        }
        const found = await logs.list(filter, linkerRange(query), caller)
        return toLinkerPage(query, { items: found.items.map(toReply), total: found.total })
      }
    })
  ]
}

function toReply(entry: LogEntry): Static<typeof Reply> {
  const { id, clusterName, clusterId, operateType, queryType, userName, userId, tenantId, status, comments } = entry
  return {
    _id: id,
    clusterName,
    clusterId,
    operateType,
    queryType,
    userName,
    user_id: userId,
    tenant_id: tenantId,
    status,
    comments,
    time_create: toTime(entry.createdAt),
    time_update: toTime(entry.updatedAt)
  }
}
