import { oneOf, type Static, stepTypes, Type } from '@fleetgate/kit'
import { type ExecutionState, executionStates } from '../executions/execution.js'
import { type StepView, type TaskView, viewStatuses } from '../executions/view.js'
import type { RunTask } from '../runs/run.js'
import { Id, MaybeTime, nullable, sdesPaging } from '../sdesFields.js'
import type { MachineRow, RunLogRow } from './logs.js'

/** `status` of an execution or run as the document writes it. */
const rowStatuses = ['SUCCESS', 'FAILED', 'RUNNING', 'WAITING'] as const
type RowStatus = (typeof rowStatuses)[number]
export const Status = oneOf(['ALL', 'NOT_EXECUTE', ...rowStatuses], { default: 'ALL' })

export const startAt = Type.Optional(Type.Number({ minimum: 0 }))
const ReportId = Type.Optional(Type.String({ minLength: 1, maxLength: 128 }))
export const RunId = Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' }))

const Counts = Type.Object({
  total: Type.Integer(),
  succeeded: Type.Integer(),
  failed: Type.Integer(),
  running: Type.Integer(),
  waiting: Type.Integer()
})
export const RunLog = Type.Object({
  status: oneOf(rowStatuses),
  startTime: Type.Number(),
  endTime: MaybeTime,
  jobId: Id,
  jobName: Type.String(),
  jobDesc: Type.String(),
  /** A string in the document, with its capital; the number stands beside it. */
  LastEditedAt: Type.String(),
  lastEditedAt: Type.Number(),
  priority: Type.Integer(),
  executionTime: Type.String(),
  duration: Type.Integer(),
  runId: Type.String(),
  scheduledFor: MaybeTime,
  /** Ours: the zone in which the schedule of the job was read. */
  timeZone: nullable(Type.String()),
  reason: nullable(Type.String()),
  counts: Counts
})
export const MachineLog = Type.Object({
  status: oneOf(rowStatuses),
  mqttClientId: Type.String(),
  clientId: Id,
  username: Type.String(),
  ipAddress: Type.String(),
  reportId: Type.String(),
  runId: Type.String(),
  startTime: MaybeTime,
  endTime: MaybeTime,
  attempt: Type.Integer(),
  /** Ours: how the machine became a target, and the group where it was one; null of runs that did not keep it. */
  boundBy: nullable(oneOf(['CLIENT', 'GROUP'])),
  groupId: nullable(Id),
  state: oneOf(executionStates),
  message: nullable(Type.String()),
  reason: nullable(Type.String())
})
export const TaskLog = Type.Object({
  status: oneOf(viewStatuses),
  startTime: MaybeTime,
  endTime: MaybeTime,
  nowTime: Type.Number(),
  taskId: Id,
  taskName: Type.String(),
  taskDesc: Type.String(),
  order: Type.Integer(),
  priority: Type.Integer(),
  disableValidation: Type.Boolean(),
  reportId: Type.String(),
  message: nullable(Type.String())
})
const Message = Type.Object({ startTime: Type.Number(), endTime: Type.Number(), message: Type.String() })
export const StepLog = Type.Object({
  reportId: Type.String(),
  id: Id,
  scriptId: Id,
  type: oneOf(stepTypes),
  order: Type.Integer(),
  status: oneOf(viewStatuses),
  startTime: MaybeTime,
  endTime: MaybeTime,
  messages: Type.Array(Message),
  filePath: nullable(Type.String()),
  targetFilePath: nullable(Type.String()),
  createFilePath: Type.Boolean(),
  ignoreHiddenFile: Type.Boolean(),
  block: Type.Boolean(),
  overWrite: Type.String(),
  retryTimes: Type.Integer(),
  retryInterval: Type.Number(),
  maxRetryTime: Type.Integer(),
  parentScriptId: nullable(Id),
  /** Names of the document's other list of steps. */
  message: Type.String(),
  transferOption: Type.Unknown(),
  transferOperation: Type.Unknown(),
  recvFileScriptId: nullable(Id),
  isItem: Type.Boolean(),
  branch: nullable(Type.String()),
  exitCode: nullable(Type.Integer()),
  output: nullable(Type.String())
})

/** Ours: an attempt before the latest, with what came late of it. */
const attempt = Type.Optional(Type.Integer({ minimum: 1, maximum: 100 }))
const ofReport = { clientId: Id, jobId: Id, reportId: ReportId, attempt, startAt }
export const OfExecution = Type.Object({ ...sdesPaging, ...ofReport })

const statusOfState = {
  QUEUED: 'WAITING',
  DISPATCHED: 'WAITING',
  RUNNING: 'RUNNING',
  SUCCEEDED: 'SUCCESS',
  FAILED: 'FAILED'
} satisfies Record<ExecutionState, RowStatus>

export function statesOf(status: string): ExecutionState[] | undefined {
  if (status === 'ALL') return undefined
  const wanted = status === 'NOT_EXECUTE' ? 'WAITING' : status
  return executionStates.filter((state) => statusOfState[state] === wanted)
}

export function toRunLog(run: RunLogRow): Static<typeof RunLog> {
  const { _id, jobId, job, state, result, counts, createdAt, endedAt, scheduledFor, timeZone } = run
  const { name, description, priority, executionTime, duration, lastEditedAt } = job
  return {
    status: state === 'FINISHED' ? (result ?? 'FAILED') : state === 'RUNNING' ? 'RUNNING' : 'WAITING',
    startTime: createdAt,
    endTime: endedAt ?? null,
    jobId,
    jobName: name,
    jobDesc: description,
    LastEditedAt: String(lastEditedAt),
    lastEditedAt,
    priority,
    executionTime,
    duration,
    runId: _id,
    scheduledFor: scheduledFor ?? null,
    timeZone: timeZone ?? null,
    reason: run.reason ?? null,
    counts
  }
}

export function toMachineLog(row: MachineRow): Static<typeof MachineLog> {
  const { _id, runId, clientId, groupId, mqttClientId, username, ip } = row
  const { state, attempt, startedAt, endedAt, message, reason } = row
  return {
    status: statusOfState[state],
    mqttClientId,
    clientId,
    username,
    ipAddress: ip,
    reportId: _id,
    runId,
    startTime: startedAt ?? null,
    endTime: endedAt ?? null,
    attempt,
    boundBy: groupId === undefined ? null : groupId > 0 ? 'GROUP' : 'CLIENT',
    groupId: groupId || null,
    state,
    message: message || null,
    reason: reason ?? null
  }
}

export function toTaskLog(
  view: TaskView,
  { task, nowTime, reportId }: { task: RunTask | undefined; nowTime: number; reportId: string }
): Static<typeof TaskLog> {
  const { taskId, name, order } = view.task
  return {
    status: view.status,
    startTime: view.startedAt ?? null,
    endTime: view.endedAt ?? null,
    nowTime,
    taskId,
    taskName: name,
    taskDesc: task?.description ?? '',
    order,
    priority: task?.priority ?? 0,
    disableValidation: task?.disableValidation ?? false,
    reportId,
    message: view.message ?? null
  }
}

export function toStepLog(view: StepView, reportId: string): Static<typeof StepLog> {
  const { step, messages } = view
  return {
    reportId,
    id: step.scriptId,
    scriptId: step.scriptId,
    type: step.type,
    order: step.order,
    status: view.status,
    startTime: view.startedAt ?? null,
    endTime: view.endedAt ?? null,
    // The newest first, as the document's example has them.
    messages: messages.toReversed().map(({ startTime, endTime, message }) => ({ startTime, endTime, message })),
    filePath: step.filePath ?? null,
    targetFilePath: step.targetFilePath ?? null,
    createFilePath: step.createFilePath ?? false,
    ignoreHiddenFile: step.ignoreHiddenFile ?? false,
    block: step.block,
    overWrite: step.overWrite,
    retryTimes: step.retryTimes,
    retryInterval: step.retryInterval,
    maxRetryTime: step.retryTimes,
    parentScriptId: view.parentScriptId ?? null,
    message: messages.at(-1)?.message ?? '',
    transferOption: step.transferOption ?? null,
    transferOperation: step.transferOption ?? null,
    recvFileScriptId: null,
    isItem: view.parentScriptId !== undefined,
    branch: view.branch ?? null,
    exitCode: view.exitCode ?? null,
    output: view.output ?? null
  }
}
