import { createHash } from 'node:crypto'
import { AppError, type Log } from '@fleetgate/kit'
import type { Outcome } from './nodeType.js'
import type { NewRun, RunStore } from './runStore.js'
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

export interface Cause {
  /** The same cause starts the workflow once. */
  once: string
  input: Outcome
}

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
    await runs.refuse({ tenantId, workflowId, version, once, input: '{}', depth: 0 }, message)
    log.warn({ workflowId, kind }, 'runs of a workflow were stopped')
  }

  async function allowed(workflow: Waiting, wanted: number, depth: number): Promise<number> {
    if (depth > limits.depth) {
      const reason = `stopped: ${depth} runs led to one another, ${limits.depth} are allowed; does the workflow trigger itself?`
      await stop(workflow, 'depth', reason)
      return 0
    }
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

  return {
    /** Answers the ids of the runs that are new. */
    async start(workflow: Waiting, causes: Cause[], depth: number): Promise<string[]> {
      const count = causes.length === 0 ? 0 : await allowed(workflow, causes.length, depth)
      const { id: workflowId, tenantId, version } = workflow
      const found = causes.slice(0, count).map(
        ({ once, input }): NewRun => ({
          ...{ tenantId, workflowId, version, depth },
          once: short(once),
          input: JSON.stringify(input)
        })
      )
      return runs.insert(found)
    },

    /** One run that somebody waits for; throws `rate_limited` where a guard stops it. */
    async startOne(workflow: Waiting, cause: Cause, depth: number): Promise<string> {
      const [id] = await this.start(workflow, [cause], depth)
      if (id === undefined) throw new AppError('rate_limited', 'the workflow was stopped: its logs say why')
      return id
    }
  }
}

function short(once: string): string {
  return once.length <= 64 ? once : createHash('sha256').update(once).digest('base64url')
}
