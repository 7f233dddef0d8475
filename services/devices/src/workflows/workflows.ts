import { AppError, type Caller, type CreatorsOf, newNumericId } from '@fleetgate/kit'
import type { Grants, Scope } from '../grants/grants.js'
import type { Creation } from '../grants/watchGrants.js'
import { type Known, type Problem, problemsOf, refuseForbidden, refuseProblems } from './checks.js'
import { type Plan, planOf } from './design.js'
import type { Enabling } from './enabling.js'
import type { Engine } from './engine.js'
import { waitOf } from './nodes/entries.js'
import { kinds } from './nodes/index.js'
import type { Run, RunState } from './runDoc.js'
import type { RunStore } from './runStore.js'
import type { SecretKeeper } from './secretKeeper.js'
import { nextTime } from './timer.js'
import type { TriggerSettling } from './triggerSettling.js'
import type { Workflow } from './workflowDoc.js'
import type { WorkflowStore } from './workflowStore.js'

export interface WorkflowDraft {
  id?: string | undefined
  name: string
  remark: string
  enabled: boolean
  design: string
  /** Of an update: the version that was read. */
  version?: number | undefined
}

export interface WorkflowsOptions {
  store: WorkflowStore
  runs: RunStore
  engine: Pick<Engine, 'wake'>
  grants: Pick<Grants, 'scopeOf'>
  grantNow: (creation: Creation) => Promise<void>
  creatorsOf: CreatorsOf
  /** Of what a caller may see. */
  knownOf: (caller: Caller) => Known
  secrets: SecretKeeper
  settleTrigger: TriggerSettling['settle']
  removeWithTrigger: TriggerSettling['remove']
  max: number
  now: () => number
}

export type Workflows = ReturnType<typeof createWorkflows>

/** Others than super admins see and change what a role grants them, and what they lack does not exist. */
export function createWorkflows(options: WorkflowsOptions) {
  const { store, runs, grants, grantNow, creatorsOf, knownOf, secrets, max, now } = options
  const { settleTrigger, removeWithTrigger } = options

  async function find(id: string, caller: Caller): Promise<Workflow> {
    const isThere = isInside(id, await grants.scopeOf(caller, 'WORKFLOW'))
    const found = isThere ? await store.find(caller.tenantId, id) : undefined
    if (!found) throw noSuchWorkflow()
    return found
  }

  /** What the store needs to know of a design that is to run; refuses one that cannot. */
  async function enablingOf(plan: Plan, problems: Problem[]): Promise<Enabling> {
    refuseProblems(problems, plan)
    const at = now()
    const wait = waitOf(plan.entry.component, plan.entry.parameters)
    return { wait, at, nextAt: wait.timer && nextTime(wait.timer, at, at) }
  }

  async function create(draft: WorkflowDraft, enabling: Enabling | undefined, caller: Caller) {
    // Callers at the same moment may overshoot a little.
    if ((await store.count(caller.tenantId)) >= max) {
      throw new AppError('quota_exceeded', `there are ${max} workflows already`)
    }
    const { tenantId, userId } = caller
    const { name, remark, enabled } = draft
    const id = newNumericId(now())
    try {
      const design = await secrets.moveOut(draft.design, { id, tenantId, userId })
      const about = { id, tenantId, userId, name, remark, enabled }
      await store.insert({ ...about, version: 1, design, createdAt: now(), updatedAt: now() }, enabling)
    } catch (error) {
      // What was refused for a reason was not written.
      if (error instanceof AppError) await secrets.forget(tenantId, id)
      throw error
    }
    await settleTrigger(tenantId, id)
    if (!caller.isSuperAdmin) await grantNow({ tenantId, userId, resource: { id, type: 'WORKFLOW' } })
    return { id, version: 1 }
  }

  async function update(was: Workflow, draft: WorkflowDraft, enabling: Enabling | undefined) {
    if (draft.version !== was.version) throw expired()
    const { name, remark, enabled } = draft
    const design = await secrets.moveOut(draft.design, was)
    const version = design === was.design ? was.version : was.version + 1
    if (!(await store.save(was, { name, remark, enabled, version, design }, enabling))) throw expired()
    await settleTrigger(was.tenantId, was.id)
    return { id: was.id, version }
  }

  return {
    async search(
      wish: { name?: string | undefined; enabled?: boolean | undefined },
      page: { offset: number; limit: number },
      caller: Caller
    ) {
      const { all, ids } = await grants.scopeOf(caller, 'WORKFLOW')
      const { tenantId } = caller
      const of = { tenantId, keyword: wish.name, enabled: wish.enabled, ids: all ? undefined : [...ids] }
      const { items, total } = await store.search(of, page)
      const creators = await creatorsOf(
        tenantId,
        items.map(({ userId }) => userId)
      )
      return { items, total, creators }
    },

    async rename(id: string, change: { name: string; remark?: string | undefined }, caller: Caller): Promise<void> {
      await find(id, caller)
      if (!(await store.rename(caller.tenantId, id, change))) throw noSuchWorkflow()
      await settleTrigger(caller.tenantId, id)
    },

    /** All or none: one that is not there stops all before any is deleted. */
    async remove(ids: string[], caller: Caller): Promise<void> {
      const found = []
      for (const id of new Set(ids)) found.push(await find(id, caller))
      for (const { id, tenantId } of found) await removeWithTrigger(tenantId, id)
    },

    /** Idempotent; throws `invalid_input` naming the node where the design cannot run. */
    async setEnabled(id: string, enabled: boolean, caller: Caller): Promise<void> {
      const workflow = await find(id, caller)
      if (workflow.enabled === enabled) return
      const plan = enabled ? planOf(workflow.design, kinds) : undefined
      const enabling = plan && (await enablingOf(plan, await problemsOf(plan, knownOf(caller))))
      if (!(await store.setEnabled(workflow, enabling))) throw expired()
    },

    /** A version is the current one where none is named. `invalid` says what the design refers to and is not there. */
    async design(
      id: string,
      version: number | undefined,
      caller: Caller
    ): Promise<{ workflow: Workflow; invalid: Problem[] }> {
      const now = await find(id, caller)
      const asked = version ?? now.version
      const text = await store.designOf(caller.tenantId, id, asked)
      if (text === undefined) {
        throw new AppError('invalid_input', `there is no version ${asked}`, { field: 'version' })
      }
      const problems = await problemsOf(planOf(text, kinds), knownOf(caller))
      return { workflow: { ...now, version: asked, design: text }, invalid: problems }
    },

    /** A disabled workflow may be saved unfinished; its structure must be right all the same. */
    async save(draft: WorkflowDraft, caller: Caller): Promise<{ id: string; version: number }> {
      const was = draft.id === undefined ? undefined : await find(draft.id, caller)
      const plan = planOf(draft.design, kinds)
      const problems = await problemsOf(plan, knownOf(caller))
      refuseForbidden(problems)
      const enabling = draft.enabled ? await enablingOf(plan, problems) : undefined
      return was ? update(was, draft, enabling) : create(draft, enabling, caller)
    },

    /** Throws `invalid_input` naming the node. */
    async check(design: string, caller: Caller): Promise<Plan> {
      const plan = planOf(design, kinds)
      refuseProblems(await problemsOf(plan, knownOf(caller)), plan)
      return plan
    },

    async logs(id: string, states: RunState[], page: { offset: number; limit: number }, caller: Caller) {
      await find(id, caller)
      return runs.search({ tenantId: caller.tenantId, workflowId: id, states }, page)
    },

    async log(id: string, caller: Caller): Promise<Run> {
      const run = await runs.find(caller.tenantId, id)
      if (!run || !(await find(run.workflowId, caller))) throw new AppError('not_found', 'there is no such log')
      return run
    }
  }
}

function isInside(id: string, { all, ids }: Scope): boolean {
  return all || ids.has(id)
}

function noSuchWorkflow(): AppError {
  return new AppError('not_found', 'there is no such workflow')
}

function expired(): AppError {
  return refusalOf('Version Expired')
}

function refusalOf(message: string): AppError {
  return new AppError('invalid_input', message, { field: 'version' })
}
