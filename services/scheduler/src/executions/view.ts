import type { ExecutionTask, Step } from '@fleetgate/kit'
import type { AttemptLog, Execution, LogEntry } from './execution.js'

/** NOT_EXECUTE is the document's word for what was never begun. */
export const viewStatuses = ['WAITING', 'RUNNING', 'SUCCESS', 'FAILED', 'SKIPPED', 'NOT_EXECUTE'] as const
export type ViewStatus = (typeof viewStatuses)[number]

export interface StepMessage {
  seq: number
  startTime: number
  endTime: number
  message: string
}

export interface StepView {
  step: Step
  /** Set for steps inside an IF. */
  parentScriptId?: number
  branch?: 'conditions' | 'true' | 'false'
  status: ViewStatus
  startedAt?: number
  endedAt?: number
  /** In order of time. */
  messages: StepMessage[]
  exitCode?: number
  output?: string
}

export interface TaskView {
  task: ExecutionTask
  status: ViewStatus
  startedAt?: number
  endedAt?: number
  message?: string
  steps: StepView[]
}

type Entry = LogEntry & { seq: number }

/** What happened to each task and step of an execution, read from the log of one attempt, or of its latest that has one. */
export function viewOf(
  tasks: readonly ExecutionTask[],
  execution: Pick<Execution, 'log' | 'attempt' | 'open'>,
  attempt?: number
): TaskView[] {
  const { log, open } = execution
  const entries = entriesOf(attempt === undefined ? latestLog(execution) : (log?.[attempt] ?? {}))
  const isOver = !open || (attempt ?? execution.attempt) < execution.attempt
  return tasks.map((task) => {
    const own = entries.filter((entry) => entry.taskId === task.taskId && entry.scriptId === undefined)
    const started = own.find(({ kind }) => kind === 'TASK_STARTED')
    const end = own.findLast(({ kind }) => kind === 'TASK_ENDED')
    return {
      task,
      status: statusOf({ started, end, isOver }),
      ...times(started, end),
      ...(end?.message ? { message: end.message } : {}),
      steps: flatten(task.scripts).map((place) => stepView(place, { taskId: task.taskId, entries, isOver }))
    }
  })
}

function latestLog({ log = {}, attempt }: Pick<Execution, 'log' | 'attempt'>): AttemptLog {
  for (let n = attempt; n > 0; n--) {
    const found = log[n]
    if (found && Object.keys(found).length > 0) return found
  }
  return {}
}

function entriesOf(log: AttemptLog): Entry[] {
  return Object.entries(log)
    .map(([seq, entry]) => ({ ...entry, seq: Number(seq) }))
    .sort((a, b) => a.seq - b.seq)
}

type Place = Pick<StepView, 'step' | 'parentScriptId' | 'branch'>

/** Every step in the order in which it is written down, branches after their IF. */
export function flatten(steps: readonly Step[], parent?: Omit<Place, 'step'>): Place[] {
  return steps.flatMap((step) => [
    { step, ...parent },
    ...(['conditions', 'true', 'false'] as const).flatMap((branch) =>
      flatten(step[branch] ?? [], { parentScriptId: step.scriptId, branch })
    )
  ])
}

function stepView(
  place: Place,
  { taskId, entries, isOver }: { taskId: number; entries: Entry[]; isOver: boolean }
): StepView {
  const { scriptId } = place.step
  const own = entries.filter((entry) => entry.scriptId === scriptId && (entry.taskId ?? taskId) === taskId)
  const started = own.find(({ kind }) => kind === 'STEP_STARTED')
  const end = own.findLast(({ kind }) => kind === 'STEP_ENDED')
  return {
    ...place,
    status: statusOf({ started, end, isOver }),
    ...times(started, end),
    messages: own.flatMap((entry) => messagesOf(entry, end)),
    ...(end?.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end?.output === undefined ? {} : { output: end.output })
  }
}

function statusOf(facts: { started: Entry | undefined; end: Entry | undefined; isOver: boolean }): ViewStatus {
  if (facts.end) return facts.end.status ?? 'FAILED'
  if (facts.started) return facts.isOver ? 'FAILED' : 'RUNNING'
  return facts.isOver ? 'NOT_EXECUTE' : 'WAITING'
}

function times(started: Entry | undefined, end: Entry | undefined): { startedAt?: number; endedAt?: number } {
  const startedAt = started?.at ?? end?.at
  return { ...(startedAt === undefined ? {} : { startedAt }), ...(end ? { endedAt: end.at } : {}) }
}

/** The document's own words, its spelling included. */
const endWords = { SUCCESS: 'Successed', FAILED: 'Failed', SKIPPED: 'Skipped' } as const

function messagesOf(entry: Entry, end: Entry | undefined): StepMessage[] {
  const { seq, at, kind, message } = entry
  const said = message ? [{ seq, startTime: at, endTime: at, message }] : []
  if (kind === 'STEP_STARTED') return [{ seq, startTime: at, endTime: end?.at ?? at, message: 'START' }, ...said]
  if (kind !== 'STEP_ENDED') return said
  return [...said, { seq, startTime: at, endTime: at, message: endWords[entry.status ?? 'FAILED'] }]
}
