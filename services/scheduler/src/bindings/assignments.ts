import type { MemberStore } from '../clients/memberStore.js'
import type { Groups } from '../groups/groups.js'
import type { MemberFilter } from '../groups/memberFilter.js'
import type { JobBindStore, JobTies } from '../jobs/jobBindStore.js'

export interface AssignmentsDeps {
  jobLinks: JobBindStore
  groups: Groups
  members: MemberStore
}

/** What a client has to do with the rest. */
export interface ClientTies {
  groupIds: number[]
  /** Bound to it directly, as `/v1/clients/:id/jobs` lists them. */
  jobIds: number[]
  /** The tasks of every job that reaches it, directly or by a group. */
  taskIds: number[]
}

/** What follows from bindings: who a task reaches, and what reaches a client. */
export interface Assignments {
  ofClients(tenantId: string, clientIds: readonly number[]): Promise<Map<number, ClientTies>>
  /** The machines of all jobs with a task, as conditions any of which holds. */
  clientsOfTask(tenantId: string, taskId: number): Promise<MemberFilter[]>
  countClientsOfTask(tenantId: string, taskId: number): Promise<number>
}

export function createAssignments({ jobLinks, groups, members }: AssignmentsDeps): Assignments {
  async function clientsOfTask(tenantId: string, taskId: number): Promise<MemberFilter[]> {
    const { clientIds, groupIds } = await jobLinks.targetsOfTask(tenantId, taskId)
    const direct = clientIds.length > 0 ? [{ clientId: { $in: clientIds } }] : []
    return [...direct, ...(await groups.membersOfAny(tenantId, groupIds))]
  }

  return {
    clientsOfTask,

    async countClientsOfTask(tenantId, taskId) {
      return members.countWhere(tenantId, await clientsOfTask(tenantId, taskId))
    },

    async ofClients(tenantId, clientIds) {
      const groupIdsOf = await groups.groupIdsOf(tenantId, clientIds)
      const groupIds = [...new Set([...groupIdsOf.values()].flat())]
      const enabled = await groups.enabledAmong(tenantId, groupIds)
      const jobs = await jobLinks.reaching(tenantId, clientIds, [...enabled])
      return new Map(
        clientIds.map((id) => {
          const own = groupIdsOf.get(id) ?? []
          const active = own.filter((groupId) => enabled.has(groupId))
          return [id, { groupIds: own, ...tiesOf(id, active, jobs) }]
        })
      )
    }
  }
}

function tiesOf(clientId: number, groupIds: readonly number[], jobs: readonly JobTies[]): Omit<ClientTies, 'groupIds'> {
  const direct = jobs.filter((job) => job.clientIds.includes(clientId))
  const own = new Set(groupIds)
  const reaching = jobs.filter((job) => direct.includes(job) || job.groupIds.some((id) => own.has(id)))
  return {
    jobIds: direct.map(({ jobId }) => jobId),
    taskIds: [...new Set(reaching.flatMap(({ taskIds }) => taskIds))]
  }
}
