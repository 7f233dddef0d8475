import { AppError, oneOf, SdesPage, type Static, type Step, stepTypes, Type } from '@fleetgate/kit'
import { editedQuery, Flag, Id, MaybeTime, meantOf, Name, nullable, sdesPaging, Text } from '../sdesFields.js'
import type { TaskSettings } from '../settings/settings.js'
import type { Task, TaskDraft } from './task.js'
import type { TaskRow } from './taskStore.js'

export const ById = Type.Object({ taskId: Id })
const Priority = Type.Integer({ minimum: -1_000_000, maximum: 1_000_000 })
const MaybeFlag = Type.Optional(nullable(Type.Boolean()))
/** A flag that the document's own details show as a number, so clients send it back as one. */
const AnyFlag = Type.Optional(Type.Unsafe<boolean | number | null>({ enum: [true, false, 0, 1, null] }))

const fields = {
  priority: Type.Optional(nullable(Priority)),
  disableValidation: MaybeFlag,
  enabled: AnyFlag,
  enable: AnyFlag,
  description: Type.Optional(nullable(Text)),
  /** Kept by the scheduler: taken as the document has them, and not believed. */
  lastRunAt: Type.Optional(MaybeTime),
  assignmentsChangedAt: Type.Optional(MaybeTime)
}
/** The document creates a task with `taskName` and changes it with `name`; its replies have either. */
const names = { name: Type.Optional(nullable(Name)), taskName: Type.Optional(nullable(Name)) }
export const Draft = Type.Object({ ...fields, ...names })
export const Change = Type.Object({ ...fields, ...names, taskId: Id })

export const TaskQuery = Type.Object({
  ...sdesPaging,
  taskName: Type.Optional(Type.String({ maxLength: 256 })),
  taskNameContain: Type.Optional(Type.String({ maxLength: 256 })),
  enabled: Type.Optional(Flag),
  ...editedQuery
})

const row = {
  taskId: Id,
  taskName: Type.String(),
  name: Type.String(),
  priority: Type.Integer(),
  disableValidation: Type.Boolean(),
  description: Type.String(),
  createdAt: Type.Number(),
  lastEditedAt: Type.Number(),
  lastRunAt: MaybeTime,
  assignmentsChangedAt: MaybeTime
}
export const Row = Type.Object({ ...row, enabled: Type.Boolean() })
/** `enabled` is a number here, as the document has it. */
export const Details = Type.Object({ ...row, enabled: oneOf([0, 1]), enable: Type.Boolean() })
export const TaskPage = SdesPage(Row)

export const Saved = Type.Array(Type.Object({ scriptId: Id, scriptType: oneOf(stepTypes) }))
export const Scripts = Type.Object({
  script: Type.String(),
  scripts: Type.Array(Type.Unsafe<Step>({ type: 'object' }))
})

export function toDraft(body: Static<typeof Draft>, defaults: TaskSettings): TaskDraft {
  const taskName = meantOf([body.name, body.taskName])
  if (taskName === undefined) throw new AppError('invalid_input', 'taskName is required', { field: 'taskName' })
  return {
    taskName,
    description: body.description ?? '',
    priority: body.priority ?? defaults.priority,
    enabled: enabledOf(body) ?? defaults.enable,
    disableValidation: body.disableValidation ?? defaults.disableValidation
  }
}

function enabledOf({ enabled, enable }: Static<typeof Draft>, stored?: boolean): boolean | undefined {
  const flags = [enabled, enable].map((flag) => (flag == null ? undefined : Boolean(flag)))
  return meantOf(flags, stored)
}

export function toChange(body: Static<typeof Change>, stored: Pick<Task, 'taskName' | 'enabled'>): Partial<TaskDraft> {
  const taskName = meantOf([body.name, body.taskName], stored.taskName)
  const enabled = enabledOf(body, stored.enabled)
  return {
    ...(taskName === undefined ? {} : { taskName }),
    ...(body.description == null ? {} : { description: body.description }),
    ...(body.priority == null ? {} : { priority: body.priority }),
    ...(enabled === undefined ? {} : { enabled }),
    ...(body.disableValidation == null ? {} : { disableValidation: body.disableValidation })
  }
}

/** With the document's other word for the retries of a step. */
export function toScript(step: Step): Step & { maxRetryTime: number } {
  const { conditions, true: yes, false: no, ...plain } = step
  return {
    ...plain,
    maxRetryTime: plain.retryTimes,
    ...(conditions ? { conditions: conditions.map(toScript) } : {}),
    ...(yes ? { true: yes.map(toScript) } : {}),
    ...(no ? { false: no.map(toScript) } : {})
  }
}

export function toRow(task: TaskRow): Static<typeof Row> {
  const { taskId, taskName, priority, disableValidation, enabled, description, createdAt, lastEditedAt } = task
  return {
    taskId,
    taskName,
    name: taskName,
    priority,
    disableValidation,
    enabled,
    description,
    createdAt,
    lastEditedAt,
    lastRunAt: task.lastRunAt ?? null,
    assignmentsChangedAt: task.assignmentsChangedAt ?? null
  }
}
