import { AppError, currentOrigin, type Log, newId, type Origin } from '@fleetgate/kit'
import { isDuplicateKey } from '@fleetgate/store'
import type { ClientStore } from '../clients/clientStore.js'
import { noCounts } from '../executions/execution.js'
import type { Job } from '../jobs/job.js'
import type { JobStore } from '../jobs/jobStore.js'
import type { TimeZoneOf } from '../schedule/nextRun.js'
import type { Task } from '../tasks/task.js'
import type { TaskStore } from '../tasks/taskStore.js'
import { bytesOf, commandTasks, type Run, type RunLimits, type RunTask, taskListLimit } from './run.js'
import type { RunRow, RunStore } from './runStore.js'
import { sourcesOf } from './sources.js'

export interface OpenRunDeps {
  runs: RunStore
  jobs: JobStore
  tasks: TaskStore
  clients: ClientStore
  /** The machines of groups at this moment, each with the group that brings it. */
  broughtBy: (tenantId: string, groupIds: readonly number[]) => Promise<Map<number, number>>
  timeZone: TimeZoneOf
  log: Log
  now: () => number
  deadlineHours: number
  repeatMs: number
  onOpened: (runId: string) => void
}

export interface OpenRunInput {
  tenantId: string
  jobId: number
  idempotencyKey?: string | undefined
  /** A moment of the job's schedule, read in `timeZone`; what still waits at `endsAt` waits no longer. */
  moment?: { at: number; endsAt: number | undefined; timeZone: string } | undefined
}

/** What the document of a run can hold. */
const maxTargets = 500_000

/**
 * Runs a job by hand, or at a moment of its schedule, which runs it once. By hand, a repeat gives the run that is there: under the same idempotency key always, without one while
 * the job's latest run is open and young. Answers the run's id.
 */
export function createOpenRun(deps: OpenRunDeps) {
  const { runs, now } = deps

  async function targetsOf(job: Job): Promise<Targets> {
    const brought = await deps.broughtBy(job.tenantId, job.groupIds ?? [])
    const direct = new Set(job.clientIds)
    const bound = [...new Set([...direct, ...brought.keys()])]
    if (bound.length === 0) throw refused('the job has no clients: bind some, or groups that have some')
    const targets = shuffled(await deps.clients.enabledAmong(job.tenantId, bound))
    if (targets.length === 0) throw refused('every client of the job is disabled')
    if (targets.length > maxTargets) throw refused(`the job has more than ${maxTargets} clients`)
    const groups = targets.map((id) => (direct.has(id) ? 0 : (brought.get(id) ?? 0)))
    return { targetIds: targets, ...(groups.some(Boolean) ? { targetGroups: groups } : {}) }
  }

  async function tasksOf(job: Job): Promise<RunTask[]> {
    if (job.taskIds.length === 0) throw refused('the job has no tasks: bind some first')
    const found = await deps.tasks.findMany(job.tenantId, job.taskIds)
    const tasks = freeze(job, found)
    if (tasks.length === 0) throw refused('the job has no enabled task with a step')
    if (bytesOf(commandTasks({ tasks })) > taskListLimit) throw refused('the tasks of the job are too long to send')
    return tasks
  }

  async function insert(run: Run): Promise<string | undefined> {
    try {
      await runs.insert(run)
      return run._id
    } catch (error) {
      if (isDuplicateKey(error)) return undefined
      throw error
    }
  }

  return async function openRun(input: OpenRunInput): Promise<string> {
    const { tenantId, jobId, idempotencyKey, moment } = input
    const job = await deps.jobs.find(tenantId, jobId)
    if (!job) throw new AppError('not_found', `job ${jobId} not found`)
    const latest = await runs.findLatest(tenantId, jobId)
    const triggerKey = triggerKeyOf({ idempotencyKey, moment, latest })
    const isNamed = idempotencyKey !== undefined || moment !== undefined
    const known = isNamed ? await runs.findByTrigger(tenantId, jobId, triggerKey) : undefined
    if (known) return known._id
    if (!isNamed && latest && isFresh(latest, now(), deps.repeatMs)) return latest._id
    if (!job.enabled) throw refused('the job is disabled')
    const [tasks, targets] = [await tasksOf(job), await targetsOf(job)]
    // Later than the latest run, whatever the clocks of replicas say: the order of runs decides about repeats.
    const createdAt = Math.max(now(), (latest?.createdAt ?? 0) + 1)
    const { deadlineHours } = deps
    const timeZone = moment?.timeZone ?? (await deps.timeZone(tenantId))
    const origin = currentOrigin()
    const run = newRun(job, { tasks, targets, triggerKey, moment, timeZone, origin, createdAt, deadlineHours })
    const opened = await insert(run)
    if (!opened) {
      // Two requests of one moment name the same trigger; the index let one of them open the run.
      const winner = await runs.findByTrigger(tenantId, jobId, triggerKey)
      if (!winner) throw new AppError('unavailable', 'the run could not be opened, try again')
      return winner._id
    }
    deps.log.info({ tenantId, jobId, runId: opened, targets: targets.targetIds.length }, 'run opened')
    deps.onOpened(opened)
    return opened
  }
}

function triggerKeyOf(from: Pick<OpenRunInput, 'idempotencyKey' | 'moment'> & { latest: RunRow | undefined }): string {
  const { idempotencyKey, moment, latest } = from
  if (moment) return `at:${moment.at}`
  return idempotencyKey ? `key:${idempotencyKey}` : `after:${latest?._id ?? 'none'}`
}

/**
 * What is due at the same moment is given out as it was written, so this is the order of a rollout. Machines that were registered
 * one after the other often stand at one place and share its line: they must not be the first stage together.
 */
export function shuffled(ids: readonly number[]): number[] {
  const mixed = [...ids]
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1))
    ;[mixed[last], mixed[other]] = [mixed[other] as number, mixed[last] as number]
  }
  return mixed
}

function refused(reason: string): AppError {
  return new AppError('invalid_state', reason)
}

function isFresh(run: RunRow, now: number, repeatMs: number): boolean {
  return run.state !== 'FINISHED' && now - run.createdAt < repeatMs
}

/** Tasks in the order of their priority, then of binding; disabled and empty ones are left out. */
export function freeze(job: Pick<Job, 'taskIds'>, found: readonly Task[]): RunTask[] {
  const byId = new Map(found.map((task) => [task.taskId, task]))
  return job.taskIds
    .flatMap((id) => byId.get(id) ?? [])
    .filter(({ enabled, scripts }) => enabled && scripts.length > 0)
    .sort((a, b) => b.priority - a.priority)
    .map(({ taskId, taskName, description, priority, disableValidation, scripts }, order) => ({
      taskId,
      name: taskName,
      description,
      priority,
      disableValidation,
      order,
      scripts
    }))
}

type Targets = Required<Pick<Run, 'targetIds'>> & Pick<Run, 'targetGroups'>

interface NewRun {
  tasks: RunTask[]
  targets: Targets
  triggerKey: string
  moment: OpenRunInput['moment']
  timeZone: string
  origin: Origin | undefined
  createdAt: number
  deadlineHours: number
}

/** A zero means no limit. */
function limitsOf({ maxConcurrentSession = 0, rollout, abort }: Job): RunLimits {
  return {
    ...(maxConcurrentSession > 0 ? { maxConcurrentSession } : {}),
    ...(rollout && rollout.perMinute > 0 ? { rollout } : {}),
    ...(abort && abort.failedPercent > 0 ? { abort } : {})
  }
}

function newRun(job: Job, given: NewRun): Run {
  const { tasks, targets, triggerKey, moment, timeZone, origin, createdAt, deadlineHours } = given
  const total = targets.targetIds.length
  const lastsMs = job.duration > 0 ? job.duration * 60_000 : deadlineHours * 3_600_000
  return {
    _id: newId(createdAt),
    tenantId: job.tenantId,
    jobId: job.jobId,
    triggerKey,
    state: 'PREPARING',
    open: true,
    job: {
      name: job.jobName,
      description: job.description,
      priority: job.priority,
      executionTime: job.executionTime,
      duration: job.duration,
      maxRetries: job.maxRetries,
      retryWait: job.retryWait,
      ...limitsOf(job),
      lastEditedAt: job.lastEditedAt
    },
    tasks,
    sources: sourcesOf(tasks),
    ...targets,
    targets: total,
    counts: { ...noCounts, total, waiting: total },
    createdAt,
    deadlineAt: createdAt + lastsMs,
    deadlineReason: 'not finished before the deadline of the run',
    timeZone,
    ...origin,
    ...(moment ? { scheduledFor: moment.at } : {}),
    ...(moment?.endsAt
      ? { stop: { at: moment.endsAt, by: 'SCHEDULE', reason: 'the next run of the job was due' } }
      : {}),
    lease: { owner: '', until: new Date(0), epoch: 0 }
  }
}
