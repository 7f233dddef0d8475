import { oneOf, type Route, route, SdesPage, type Static, sdesRange, Type, toSdesPage } from '@fleetgate/kit'
import type { Clients } from '../clients/clients.js'
import { viewStatuses } from '../executions/view.js'
import { Id, MaybeTime, nullable, sdesPaging } from '../sdesFields.js'
import type { Histories, HistoryRow } from './histories.js'
import type { ClientJobRow, Logs } from './logs.js'
import { MachineLog, Status, startAt, statesOf, toMachineLog } from './sdesShapes.js'

const ClientLog = Type.Composite([
  MachineLog,
  Type.Object({
    nowTime: Type.Number(),
    jobId: Id,
    jobName: Type.String(),
    jobDesc: Type.String(),
    role: nullable(Type.String())
  })
])
const Overview = Type.Object({
  status: oneOf(['SUCCESS', 'FAILED', 'NOT_EXECUTE']),
  mqttClientId: Type.String(),
  clientId: Id,
  username: Type.String(),
  ipAddress: Type.String()
})
const History = Type.Object({
  mqttClientId: Type.String(),
  clientId: Id,
  taskId: Id,
  taskName: Type.String(),
  /** A number, as the document has it; a task that ran was enabled. */
  enabled: oneOf([1]),
  taskScript: Type.String(),
  priority: Type.Integer(),
  ts: Type.Number(),
  startTime: MaybeTime,
  endTime: MaybeTime,
  result: oneOf(viewStatuses),
  reportId: Type.String()
})
const Word = Type.Optional(Type.String({ maxLength: 256 }))
const ClientLogQuery = Type.Object({
  ...sdesPaging,
  status: Status,
  startAt,
  clientId: Type.Optional(Id),
  jobId: Type.Optional(Id)
})

/** The logs seen from the clients. */
export function clientLogRoutes(deps: {
  logs: Logs
  histories: Histories
  clients: Clients
  now: () => number
}): Route[] {
  const { logs, histories, clients, now } = deps
  return [
    route({
      method: 'get',
      path: '/v1/logs/clients',
      aliases: ['/v1/logs/clients/jobs'],
      summary: 'What became of jobs on clients, the newest first, one row per report',
      needs: 'job.view',
      query: ClientLogQuery,
      reply: SdesPage(ClientLog),
      handle: async ({ query, caller: { tenantId } }) => {
        const { status, clientId, jobId, startAt: since } = query
        const filter = { tenantId, clientId, jobId, since, states: statesOf(status) }
        const found = await logs.clientJobs(filter, sdesRange(query))
        const ids = [...new Set(found.items.map((row) => row.clientId))]
        const { items } = await clients.list({ tenantId, among: ids }, { offset: 0, limit: ids.length })
        const roles = new Map(items.map((client) => [client.clientId, client.role]))
        const toRow = (row: ClientJobRow) => toClientLog(row, { role: roles.get(row.clientId), nowTime: now() })
        return toSdesPage({ ...found, items: found.items.map(toRow) })
      }
    }),
    route({
      method: 'get',
      path: '/v1/logs/clients/overview',
      summary: 'Every client with the end of its latest report that is over',
      needs: 'job.view',
      query: Type.Object(sdesPaging),
      reply: SdesPage(Overview),
      handle: async ({ query, caller: { tenantId } }) => {
        const found = await clients.list({ tenantId }, sdesRange(query))
        const ids = found.items.map(({ clientId }) => clientId)
        const ends = await logs.latestEnds(tenantId, ids)
        const items = found.items.map(({ mqttClientId, clientId, username, ip }) => {
          const end = ends.get(clientId)
          const status = end === undefined ? 'NOT_EXECUTE' : end === 'SUCCEEDED' ? 'SUCCESS' : 'FAILED'
          return { status, mqttClientId, clientId, username, ipAddress: ip } as const
        })
        return toSdesPage({ ...found, items })
      }
    }),
    route({
      method: 'get',
      path: '/v1/tasks/histories',
      summary: 'Every task of every report, the newest run first',
      needs: 'job.view',
      query: Type.Object({ ...sdesPaging, mqttClientId: Word, taskName: Word }),
      reply: SdesPage(History),
      handle: async ({ query, caller: { tenantId } }) => {
        const { mqttClientId, taskName } = query
        const found = await histories.list({ tenantId, mqttClientId, taskName }, sdesRange(query))
        return toSdesPage({ ...found, items: found.items.map(toHistory) })
      }
    })
  ]
}

function toClientLog(
  row: ClientJobRow,
  { role, nowTime }: { role: string | undefined; nowTime: number }
): Static<typeof ClientLog> {
  const { jobId, job } = row
  return { ...toMachineLog(row), nowTime, jobId, jobName: job.name, jobDesc: job.description, role: role ?? null }
}

function toHistory({ execution, priority, view }: HistoryRow): Static<typeof History> {
  const { _id, mqttClientId, clientId, createdAt } = execution
  const { task, status, startedAt, endedAt } = view
  return {
    mqttClientId,
    clientId,
    taskId: task.taskId,
    taskName: task.name,
    enabled: 1,
    taskScript: JSON.stringify(task.scripts),
    priority,
    ts: endedAt ?? startedAt ?? createdAt,
    startTime: startedAt ?? null,
    endTime: endedAt ?? null,
    result: status,
    reportId: _id
  }
}
