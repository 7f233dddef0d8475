import { type Route, route, SdesPage, Type } from '@fleetgate/kit'
import type { Attributes } from '../attributes/attributes.js'
import type { MemberStore } from '../clients/memberStore.js'
import { listClients } from '../clients/sdes.js'
import { ById as ClientById, ClientQuery, Row as ClientRow } from '../clients/sdesShapes.js'
import { listGroups } from '../groups/sdes.js'
import { GroupById, GroupQuery, Row as GroupRow } from '../groups/sdesShapes.js'
import type { JobBindStore } from '../jobs/jobBindStore.js'
import { listJobs } from '../jobs/sdes.js'
import { JobById, JobQuery, Row as JobRow } from '../jobs/sdesShapes.js'
import { MaybeTime } from '../sdesFields.js'
import { listTasks } from '../tasks/sdes.js'
import { ById as TaskById, TaskQuery, Row as TaskRow } from '../tasks/sdesShapes.js'
import type { ListsDeps } from './lists.js'

export interface InfoDeps extends ListsDeps {
  jobLinks: JobBindStore
  members: MemberStore
  attributes: Attributes
}

const N = Type.Integer()

/** `countInfo` of one thing, and `allInfo`: the list of its kind with the same counts in each row. */
export function infoRoutes(deps: InfoDeps): Route[] {
  return [...jobInfo(deps), ...taskInfo(deps), ...groupInfo(deps), ...clientInfo(deps)]
}

function jobInfo({ jobs, jobLinks }: InfoDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/jobs/allInfo',
      summary: 'List jobs with how much is bound to each',
      needs: 'job.view',
      query: JobQuery,
      reply: SdesPage(Type.Composite([JobRow, Type.Object({ clients: N })])),
      handle: async ({ query, caller: { tenantId } }) => {
        const { total, list } = await listJobs(jobs, { tenantId }, query)
        const ids = list.map(({ jobId }) => jobId)
        const clients = await jobLinks.countClientsOf(tenantId, ids)
        return { total, list: list.map((row) => ({ ...row, clients: clients.get(row.jobId) ?? 0 })) }
      }
    }),
    route({
      method: 'get',
      path: '/v1/jobs/:jobId/countInfo',
      summary: 'Count what is bound to a job',
      needs: 'job.view',
      params: JobById,
      reply: Type.Object({ groups: N, tasks: N, clients: N }),
      handle: async ({ params, caller }) => {
        const { groupIds = [], taskIds, clientIds } = await jobs.get(caller.tenantId, params.jobId)
        return { groups: groupIds.length, tasks: taskIds.length, clients: clientIds.length }
      }
    })
  ]
}

function taskInfo({ tasks, jobLinks, assignments }: InfoDeps): Route[] {
  const counts = { jobs: N, clients: N, scripts: N }

  async function countsOf(tenantId: string, ids: readonly number[]) {
    const jobCounts = await jobLinks.countJobsOf(tenantId, 'taskIds', ids)
    const scripts = await tasks.countScripts(tenantId, ids)
    return async (id: number) => ({
      jobs: jobCounts.get(id) ?? 0,
      clients: await assignments.countClientsOfTask(tenantId, id),
      scripts: scripts.get(id) ?? 0
    })
  }

  return [
    route({
      method: 'get',
      path: '/v1/tasks/allInfo',
      summary: 'List tasks with the number of their jobs, steps, and the clients that the jobs reach',
      needs: 'job.view',
      query: TaskQuery,
      reply: SdesPage(
        Type.Composite([TaskRow, Type.Object({ enable: Type.Boolean(), lastTimeRun: MaybeTime, ...counts })])
      ),
      handle: async ({ query, caller: { tenantId } }) => {
        const { total, list } = await listTasks(tasks, { tenantId }, query)
        const ids = list.map(({ taskId }) => taskId)
        const counted = await countsOf(tenantId, ids)
        const rows = []
        for (const row of list) {
          rows.push({ ...row, enable: row.enabled, lastTimeRun: row.lastRunAt, ...(await counted(row.taskId)) })
        }
        return { total, list: rows }
      }
    }),
    route({
      method: 'get',
      path: '/v1/tasks/:taskId/countInfo',
      summary: 'Count the jobs and steps of a task, and the clients that the jobs reach',
      needs: 'job.view',
      params: TaskById,
      reply: Type.Object(counts),
      handle: async ({ params: { taskId }, caller: { tenantId } }) => {
        await tasks.get(tenantId, taskId)
        return (await countsOf(tenantId, [taskId]))(taskId)
      }
    })
  ]
}

function groupInfo({ groups, jobLinks, now }: InfoDeps): Route[] {
  const counts = { clients: N, jobs: N }

  async function countsOf(tenantId: string, ids: readonly number[]) {
    const { items } = await groups.list({ tenantId, among: ids }, { offset: 0, limit: ids.length })
    const clients = await groups.countMembers(items)
    const jobs = await jobLinks.countJobsOf(tenantId, 'groupIds', ids)
    return (id: number) => ({ clients: clients.get(id) ?? 0, jobs: jobs.get(id) ?? 0 })
  }

  return [
    route({
      method: 'get',
      path: '/v1/groups/allInfo',
      summary: 'List groups with the number of their clients and jobs',
      needs: 'client.view',
      query: GroupQuery,
      reply: SdesPage(Type.Composite([GroupRow, Type.Object(counts)])),
      handle: async ({ query, caller: { tenantId } }) => {
        const { total, list } = await listGroups(groups, { tenantId }, { query, now: now() })
        const ids = list.map(({ groupId }) => groupId)
        const counted = await countsOf(tenantId, ids)
        return { total, list: list.map((row) => ({ ...row, ...counted(row.groupId) })) }
      }
    }),
    route({
      method: 'get',
      path: '/v1/groups/:groupId/countInfo',
      summary: 'Count the clients and jobs of a group',
      needs: 'client.view',
      params: GroupById,
      reply: Type.Object(counts),
      handle: async ({ params: { groupId }, caller: { tenantId } }) => {
        await groups.get(tenantId, groupId)
        return (await countsOf(tenantId, [groupId]))(groupId)
      }
    })
  ]
}

function clientInfo({ clients, attributes, assignments }: InfoDeps): Route[] {
  const counts = { groups: N, jobs: N, tasks: N }

  async function countsOf(tenantId: string, ids: readonly number[]) {
    const ties = await assignments.ofClients(tenantId, ids)
    return (id: number) => {
      const { groupIds = [], jobIds = [], taskIds = [] } = ties.get(id) ?? {}
      return { groups: groupIds.length, jobs: jobIds.length, tasks: taskIds.length }
    }
  }

  return [
    route({
      method: 'get',
      path: '/v1/clients/allInfo',
      summary: 'List clients with the number of their groups, jobs and tasks',
      needs: 'client.view',
      query: ClientQuery,
      reply: SdesPage(Type.Composite([ClientRow, Type.Object(counts)])),
      handle: async ({ query, caller: { tenantId } }) => {
        const { total, list } = await listClients(clients, { tenantId }, query)
        const ids = list.map(({ clientId }) => clientId)
        const counted = await countsOf(tenantId, ids)
        return { total, list: list.map((row) => ({ ...row, ...counted(row.clientId) })) }
      }
    }),
    route({
      method: 'get',
      path: '/v1/clients/:clientId/countInfo',
      summary: 'Count the attributes, groups, jobs and tasks of a client',
      needs: 'client.view',
      params: ClientById,
      /** The document writes `group`. */
      reply: Type.Object({ attributes: N, group: N, ...counts }),
      handle: async ({ params: { clientId }, caller: { tenantId } }) => {
        const client = await clients.get(tenantId, clientId)
        const { length } = await attributes.ofClient(client)
        const counted = (await countsOf(tenantId, [clientId]))(clientId)
        return { attributes: length, group: counted.groups, ...counted }
      }
    })
  ]
}
