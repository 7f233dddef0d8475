import { createHash } from 'node:crypto'
import { AppError, currentOrigin, type Log } from '@fleetgate/kit'
import type { Outcome } from './nodeType.js'
import type { NewRun } from './runDoc.js'
import type { RunStore } from './runStore.js'
import type { Waiting } from './workflowDoc.js'
import type { WorkflowStore } from './workflowStore.js'

export interface Limits {
  /** Runs of one workflow begun within a minute. */
  perMinute: number
  /** Runs that may lead to one another. */
  depth: number
  /** Runs of a tenant that may wait. */
  queued: number
}

/** What starts a workflow, once. */
export interface Cause {
  /** Names it. */
  once: string
  input: Outcome
}

/** Causes that come together: one run for those of them that are new. */
export type Causes = readonly Cause[]

export interface StarterOptions {
  runs: RunStore
  workflows: WorkflowStore
  limits: Limits
  log: Log
  now: () => number
}

export type Starter = ReturnType<typeof createStarter>

/** The one way to begin runs, behind the guards against loops and floods. */
export function createStarter({ runs, workflows, limits, log, now }: StarterOptions) {
  /** At most one line of each kind a minute in the logs of a workflow. */
  async function stop(workflow: Waiting, kind: string, message: string): Promise<void> {
    const { id: workflowId, tenantId, version } = workflow
    const once = `${kind}:${Math.floor(now() / 60_000)}`
    await runs.refuse({ tenantId, workflowId, version, once: [once], input: '{}', depth: 0 }, message)
    log.warn({ workflowId, kind }, 'runs of a workflow were stopped')
  }

  async function isTooDeep(workflow: Waiting, depth: number): Promise<boolean> {
    if (depth <= limits.depth) return false
    const reason = `stopped: ${depth} runs led to one another, ${limits.depth} are allowed; does the workflow trigger itself?`
    await stop(workflow, 'depth', reason)
    return true
  }

  async function allowed(workflow: Waiting, wanted: number): Promise<number> {
    if ((await runs.countQueued(workflow.tenantId)) >= limits.queued) {
      await stop(workflow, 'queue', `stopped: ${limits.queued} runs of the tenant are waiting already`)
      return 0
    }
    const before = await workflows.countRuns(workflow.id, wanted)
    const left = Math.max(0, limits.perMinute - before)
    if (left < wanted) {
      const reason = `stopped: more than ${limits.perMinute} runs within a minute; does the workflow trigger itself?`
      await stop(workflow, 'rate', reason)
    }
    return Math.min(left, wanted)
  }

  /** Without what has started a run before: what comes again may come in other company. */
  async function fresh({ id }: Waiting, groups: readonly Causes[]): Promise<Causes[]> {
    const named = groups.map((causes) => causes.map(({ once, input }) => ({ once: short(once), input })))
    const known = await runs.known(
      id,
      named.flat().map(({ once }) => once)
    )
    return named.map((causes) => causes.filter(({ once }) => !known.has(once))).filter(({ length }) => length > 0)
  }

  return {
    /** Answers the ids of the runs that are new. */
    async start(workflow: Waiting, groups: readonly Causes[], depth: number): Promise<string[]> {
      if (groups.length === 0 || (await isTooDeep(workflow, depth))) return []
      const { id: workflowId, tenantId, version } = workflow
      const started: string[] = []
      let left: number | undefined
      for (;;) {
        const found = await fresh(workflow, groups)
        if (found.length === 0) return started
        left ??= await allowed(workflow, found.length)
        const wanted = found.slice(0, left - started.length).map((causes): NewRun => {
          const input = joined(causes)
          const once = causes.map((cause) => cause.once)
          return { tenantId, workflowId, version, depth, once, input: JSON.stringify(input), origin: currentOrigin() }
        })
        const made = await runs.insert(wanted)
        started.push(...made)
        // Of what another process was faster with the rest is still to be started.
        if (made.length === wanted.length) return started
      }
    },

    /** One run that somebody waits for; throws `rate_limited` where a guard stops it. */
    async startOne(workflow: Waiting, cause: Cause, depth: number): Promise<string> {
      const [id] = await this.start(workflow, [[cause]], depth)
      if (id === undefined) throw new AppError('rate_limited', 'the workflow was stopped: its logs say why')
      return id
    }
  }
}

/** Objects under the same key become one: each value of an OBJECT is a cause of its own. */
function joined(causes: Causes): Outcome {
  const all: Outcome = {}
  for (const [key, value] of causes.flatMap(({ input }) => Object.entries(input))) {
    const before = all[key]
    all[key] = isObject(before) && isObject(value) ? { ...before, ...value } : value
  }
  return all
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function short(once: string): string {
  return once.length <= 64 ? once : createHash('sha256').update(once).digest('base64url')
}
