import type { Static, TSchema } from '@fleetgate/kit'
import type { Clients } from '../clients/clients.js'
import { listClients } from '../clients/sdes.js'
import { ClientPage, ClientQuery } from '../clients/sdesShapes.js'
import type { Groups } from '../groups/groups.js'
import type { MemberFilter } from '../groups/memberFilter.js'
import { listGroups } from '../groups/sdes.js'
import { GroupPage, GroupQuery } from '../groups/sdesShapes.js'
import type { Bound } from '../jobs/jobStore.js'
import type { Jobs } from '../jobs/jobs.js'
import { listJobs } from '../jobs/sdes.js'
import { JobPage, JobQuery } from '../jobs/sdesShapes.js'
import { listTasks } from '../tasks/sdes.js'
import { TaskPage, TaskQuery } from '../tasks/sdesShapes.js'
import type { Tasks } from '../tasks/tasks.js'
import type { Assignments } from './assignments.js'
import type { Kind } from './links.js'

export interface ListsDeps {
  jobs: Jobs
  tasks: Tasks
  groups: Groups
  clients: Clients
  assignments: Assignments
  now: () => number
}

/** A list that belongs to one thing: `/v1/<of>s/:id/<kind>s`. */
export interface BoundList {
  of: Kind
  kind: Kind
  Query: TSchema
  Page: TSchema
  list(tenantId: string, id: number, query: unknown): Promise<{ total: number; list: unknown[] }>
}

interface Scope {
  among?: readonly number[]
  anyOf?: readonly MemberFilter[]
  boundTo?: { bound: Bound; id: number }
}

interface Shown<Q extends TSchema> {
  kind: Kind
  Query: Q
  Page: TSchema
  list(scope: Scope & { tenantId: string }, query: Static<Q>): Promise<{ total: number; list: unknown[] }>
}

/** Every list of one thing by another. What is not there is refused before anything is listed. */
export function boundLists(deps: ListsDeps): BoundList[] {
  const { jobs, tasks, groups, clients, assignments, now } = deps
  const [shownJobs, shownTasks, shownGroups, shownClients] = [
    shown({ kind: 'job', Query: JobQuery, Page: JobPage, list: (scope, query) => listJobs(jobs, scope, query) }),
    shown({ kind: 'task', Query: TaskQuery, Page: TaskPage, list: (scope, query) => listTasks(tasks, scope, query) }),
    shown({
      kind: 'group',
      Query: GroupQuery,
      Page: GroupPage,
      list: (scope, query) => listGroups(groups, scope, { query, now: now() })
    }),
    shown({
      kind: 'client',
      Query: ClientQuery,
      Page: ClientPage,
      list: (scope, query) => listClients(clients, scope, query)
    })
  ]

  async function tiesOf(tenantId: string, clientId: number) {
    await clients.get(tenantId, clientId)
    return (await assignments.ofClients(tenantId, [clientId])).get(clientId)
  }

  return [
    shownTasks('job', async (tenantId, id) => ({ among: (await jobs.get(tenantId, id)).taskIds })),
    shownGroups('job', async (tenantId, id) => ({ among: (await jobs.get(tenantId, id)).groupIds ?? [] })),
    shownClients('job', async (tenantId, id) => ({ among: (await jobs.get(tenantId, id)).clientIds })),
    shownJobs('task', async (tenantId, id) => {
      await tasks.get(tenantId, id)
      return { boundTo: { bound: 'taskIds', id } }
    }),
    shownClients('task', async (tenantId, id) => {
      await tasks.get(tenantId, id)
      return { anyOf: await assignments.clientsOfTask(tenantId, id) }
    }),
    shownJobs('group', async (tenantId, id) => {
      await groups.get(tenantId, id)
      return { boundTo: { bound: 'groupIds', id } }
    }),
    shownClients('group', async (tenantId, id) => ({
      anyOf: [await groups.members(await groups.get(tenantId, id))]
    })),
    shownJobs('client', async (tenantId, id) => {
      await clients.get(tenantId, id)
      return { boundTo: { bound: 'clientIds', id } }
    }),
    shownTasks('client', async (tenantId, id) => ({ among: (await tiesOf(tenantId, id))?.taskIds ?? [] })),
    shownGroups('client', async (tenantId, id) => ({ among: (await tiesOf(tenantId, id))?.groupIds ?? [] }))
  ]
}

function shown<Q extends TSchema>({ kind, Query, Page, list }: Shown<Q>) {
  return (of: Kind, scopeOf: (tenantId: string, id: number) => Promise<Scope>): BoundList => ({
    of,
    kind,
    Query,
    Page,
    list: async (tenantId, id, query) => list({ ...(await scopeOf(tenantId, id)), tenantId }, query as Static<Q>)
  })
}
