import { AppError } from '@fleetgate/kit'
import type { ClientStore } from '../clients/clientStore.js'
import type { MemberStore } from '../clients/memberStore.js'
import { refuseQueryGroup } from '../groups/group.js'
import type { GroupStore } from '../groups/groupStore.js'
import type { JobBindStore } from '../jobs/jobBindStore.js'
import type { Bound, JobStore } from '../jobs/jobStore.js'
import type { TaskStore } from '../tasks/taskStore.js'
import { checkedLink, type Kind } from './links.js'

export interface BindingsDeps {
  jobs: JobStore
  jobLinks: JobBindStore
  tasks: TaskStore
  groups: GroupStore
  clients: ClientStore
  members: MemberStore
  now: () => number
}

/** What is bound to or taken from one thing. */
export interface BindingChange {
  /** The one thing. */
  to: Kind
  id: number
  /** What is bound to it. */
  kind: Kind
  ids: readonly number[]
  /** How the caller's field of the ids is called, for messages. */
  idsField?: string
  /** How the caller's field of the two kinds is called. */
  kindField?: string
}

export interface Bindings {
  /** Adds to what is bound; an id that names nothing of the tenant is refused, and nothing is bound then. */
  bind(tenantId: string, change: BindingChange): Promise<void>
  /** Takes away; what is not bound is passed over. */
  unbind(tenantId: string, change: BindingChange): Promise<void>
}

export function createBindings(deps: BindingsDeps): Bindings {
  const { jobLinks, tasks, groups, clients, members, now } = deps
  const unknownAmong = {
    job: jobLinks.unknownAmong,
    task: tasks.unknownAmong,
    group: groups.unknownAmong,
    client: clients.unknownAmong
  }

  async function refuseMissing(tenantId: string, kind: Kind, id: number): Promise<void> {
    const unknown = await unknownAmong[kind](tenantId, [id])
    if (unknown.length > 0) throw new AppError('not_found', `${kind} ${id} not found`)
  }

  async function refuseUnknown(tenantId: string, { kind, ids, idsField }: BindingChange): Promise<void> {
    const unknown = await unknownAmong[kind](tenantId, ids)
    if (unknown.length === 0) return
    const field = idsField ?? `${kind}Ids`
    throw new AppError('invalid_input', `no such ${kind}s: ${unknown.slice(0, 10).join(', ')}`, { field })
  }

  async function refuseQueryGroups(tenantId: string, groupIds: readonly number[]): Promise<void> {
    for (const group of await groups.findMany(tenantId, groupIds)) refuseQueryGroup(group)
  }

  /** Both sides of a job's link are told when it changed. */
  async function stamp(tenantId: string, bound: Bound, ids: readonly number[]): Promise<void> {
    if (bound === 'taskIds') await tasks.setAssignmentsChanged(tenantId, ids, now())
    if (bound === 'groupIds') await groups.stamp(tenantId, ids, { field: 'assignmentsChangedAt', at: now() })
  }

  async function apply(tenantId: string, change: BindingChange, isAdded: boolean): Promise<void> {
    const { to, id, kind, ids, kindField = 'body' } = change
    const link = checkedLink(to, kind, kindField)
    await refuseMissing(tenantId, to, id)
    if (isAdded) await refuseUnknown(tenantId, change)
    const [ownerIds, memberIds] = link.isOwner ? [[id], ids] : [ids, [id]]
    if (link.owner === 'client') {
      await refuseQueryGroups(tenantId, memberIds)
      await members[isAdded ? 'link' : 'unlink'](tenantId, ownerIds, memberIds)
      await groups.stamp(tenantId, memberIds, { field: 'membershipChangedAt', at: now() })
      return
    }
    const { bound, limit } = link
    const jobLink = { jobIds: ownerIds, bound, ids: memberIds, now: now() }
    const overfull = isAdded ? await jobLinks.overfullAmong(tenantId, { ...jobLink, limit }) : []
    if (overfull.length > 0) {
      const what = bound.replace('Ids', 's')
      throw new AppError('quota_exceeded', `a job has at most ${limit} ${what}: job ${overfull[0]} would have more`)
    }
    await jobLinks[isAdded ? 'link' : 'unlink'](tenantId, jobLink)
    await stamp(tenantId, bound, memberIds)
  }

  return {
    bind: (tenantId, change) => apply(tenantId, change, true),
    unbind: (tenantId, change) => apply(tenantId, change, false)
  }
}
