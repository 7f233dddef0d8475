import { castIdOf, type ExecutionTask, fileListLimit, type Source, type Step } from '@fleetgate/kit'
import type { OutboxEntry } from '@fleetgate/store'
import type { Counts } from '../executions/execution.js'
import type { Pace, Rollout } from './pace.js'
import { type RunSource, stepsOf } from './sources.js'
import type { AbortRule, Stop } from './stop.js'

export const runStates = ['PREPARING', 'RUNNING', 'FINISHED'] as const
export type RunState = (typeof runStates)[number]
export type RunResult = 'SUCCESS' | 'FAILED'

/** The job as it was when the run began, as far as runs and logs need it. */
export interface RunJob {
  name: string
  description: string
  priority: number
  executionTime: string
  duration: number
  maxRetries: number
  retryWait: number
  /** Machines that may be at work at the same time, over all runs of the job. */
  maxConcurrentSession?: number
  rollout?: Rollout
  abort?: AbortRule
  lastEditedAt: number
}

export type RunLimits = Pick<RunJob, 'maxConcurrentSession' | 'rollout' | 'abort'>

/** What the SDES log rows show of a task beyond what a machine needs. */
export interface RunTask extends ExecutionTask {
  description: string
  priority: number
  disableValidation: boolean
}

export interface Lease {
  owner: string
  until: Date
  /** Counts the owners: a write of an earlier owner matches nothing. */
  epoch: number
}

export interface Run {
  _id: string
  tenantId: string
  jobId: number
  /** Unique within the job: two triggers of the same moment open one run. */
  triggerKey: string
  state: RunState
  open?: true
  result?: RunResult
  job: RunJob
  tasks: RunTask[]
  sources: Record<string, RunSource>
  /** Frozen at the start, in the order in which they are given out; gone once each has its execution. */
  targetIds?: number[]
  /** Beside each of `targetIds` the group that brought it, 0 where it is bound itself; absent where all are. */
  targetGroups?: number[]
  targets: number
  counts: Counts
  createdAt: number
  endedAt?: number
  deadlineAt: number
  deadlineReason: string
  stop?: Stop
  /** Nothing more is given out until it is taken away. */
  pausedAt?: number
  pace?: Pace
  /** The moment of the schedule that opened it. */
  scheduledFor?: number
  /** IANA name of the zone in which the job's schedule was read when it was opened. */
  timeZone?: string
  /** Of the request that opened it; W3C traceparent. */
  requestId?: string | undefined
  traceparent?: string | undefined
  /** Set by a replica that applied reports but does not drive the run. */
  recount?: true
  lease: Lease
  outbox?: OutboxEntry[]
}

export const jobGone = 'the job was deleted'

/** In bytes, like `fileListLimit`. */
export const taskListLimit = 200 * 1024

/** As it goes over the wire: names of files may be in any script. */
export function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}

export function tooManyFiles({ length }: readonly unknown[]): string {
  return `${length} files are too many to send: pack them into an archive`
}

const notOffered = 'the file was not offered'

/**
 * The `sources` of a command: by script id, those of a BROADCAST with their cast. A list of files too long to be sent becomes an
 * error of its steps, and reasons too long lose their words.
 */
export function commandSources(run: Pick<Run, '_id' | 'tenantId' | 'tasks' | 'sources'>): Record<string, Source> {
  const { _id: runId, tenantId } = run
  const casts = new Set(stepsOf(run.tasks).flatMap(({ type, scriptId }) => (type === 'BROADCAST' ? [scriptId] : [])))
  const castOf = (scriptId: number) => (casts.has(scriptId) ? { castId: castIdOf({ tenantId, runId, scriptId }) } : {})
  let left = fileListLimit
  const fits = (size: number) => {
    if (size > left) return false
    left -= size
    return true
  }
  return Object.fromEntries(
    Object.values(run.sources).flatMap((source) => {
      const { scriptIds, files, error = notOffered } = source
      const isWhole = fits(bytesOf(files ?? error) * scriptIds.length)
      const short = files ? tooManyFiles(files) : notOffered
      return scriptIds.map((id): [string, Source] => {
        if (!isWhole) return [String(id), { error: short }]
        return [String(id), files ? { files, ...castOf(id) } : { error }]
      })
    })
  )
}

/**
 * The `tasks` of a command: what a machine needs and no more. A machine takes the name of a file from the path of its source, so
 * that of a stored file is its name.
 */
export function commandTasks({
  tasks,
  sources = {}
}: Pick<Run, 'tasks'> & { sources?: Run['sources'] }): ExecutionTask[] {
  const names = new Map<number, string>()
  for (const { scriptIds, name } of Object.values(sources)) {
    if (name !== undefined) for (const id of scriptIds) names.set(id, name)
  }
  return tasks.map(({ taskId, name, order, scripts }) => {
    return { taskId, name, order, scripts: names.size > 0 ? scripts.map((step) => withName(step, names)) : scripts }
  })
}

function withName(step: Step, names: ReadonlyMap<number, string>): Step {
  const name = names.get(step.scriptId)
  const { true: yes, false: no } = step
  return {
    ...step,
    ...(name === undefined ? {} : { filePath: name }),
    ...(yes ? { true: yes.map((inner) => withName(inner, names)) } : {}),
    ...(no ? { false: no.map((inner) => withName(inner, names)) } : {})
  }
}

export function resultOf(counts: Counts): RunResult {
  return counts.total > 0 && counts.succeeded === counts.total ? 'SUCCESS' : 'FAILED'
}
