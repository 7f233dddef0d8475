import type { Step } from '@fleetgate/kit'
import { type Counters, containsPattern, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { type QueryFilter, Schema } from 'mongoose'
import { rangeFilter, type TimeRanges } from '../sdesFields.js'
import type { Task, TaskDraft } from './task.js'

const taskSchema = new Schema<Task>(
  {
    _id: { type: String, required: true },
    tenantId: { type: String, required: true },
    taskId: { type: Number, required: true },
    taskName: { type: String, required: true },
    description: String,
    priority: { type: Number, required: true },
    enabled: { type: Boolean, required: true },
    disableValidation: { type: Boolean, required: true },
    createdAt: { type: Number, required: true },
    lastEditedAt: { type: Number, required: true },
    lastRunAt: Number,
    assignmentsChangedAt: Number,
    scripts: { type: Schema.Types.Mixed, required: true }
  } as never,
  { minimize: false }
)
taskSchema.index({ tenantId: 1, taskId: 1 }, { unique: true })
taskSchema.index({ tenantId: 1, taskName: 1, taskId: 1 })
taskSchema.index({ tenantId: 1, enabled: 1, taskId: 1 })
for (const time of ['lastEditedAt', 'lastRunAt', 'assignmentsChangedAt', 'createdAt']) {
  taskSchema.index({ tenantId: 1, [time]: 1 })
}

export interface TaskFilter {
  tenantId: string
  among?: readonly number[] | undefined
  taskName?: string | undefined
  taskNameContain?: string | undefined
  enabled?: boolean | undefined
  ranges?: TimeRanges<'lastEditedAt' | 'lastRunAt' | 'assignmentsChangedAt' | 'createdAt'> | undefined
}

/** A task in a list: without its steps. */
export type TaskRow = Omit<Task, 'scripts'>

export interface TaskStore {
  insert(tenantId: string, draft: TaskDraft, now: number): Promise<Task>
  find(tenantId: string, taskId: number): Promise<Task | undefined>
  findMany(tenantId: string, taskIds: readonly number[]): Promise<Task[]>
  list(filter: TaskFilter, page: Page): Promise<PageOf<TaskRow>>
  update(tenantId: string, taskId: number, change: Partial<TaskDraft>, now: number): Promise<boolean>
  remove(tenantId: string, taskId: number): Promise<boolean>
  /** Replaces the steps, unless somebody else has since `editedAt`. */
  saveScripts(task: Pick<Task, 'tenantId' | 'taskId' | 'lastEditedAt'>, scripts: Step[], now: number): Promise<boolean>
  setLastRun(tenantId: string, taskIds: readonly number[], at: number): Promise<void>
  setAssignmentsChanged(tenantId: string, taskIds: readonly number[], at: number): Promise<void>
  countScripts(tenantId: string, taskIds: readonly number[]): Promise<Map<number, number>>
  unknownAmong(tenantId: string, taskIds: readonly number[]): Promise<number[]>
}

export function createTaskStore(store: Store, counters: Counters): TaskStore {
  const model = store.model<Task>('tasks', taskSchema)

  return {
    async insert(tenantId, draft, now) {
      const taskId = await counters.next(tenantId, 'task')
      const task: Task = {
        _id: `${tenantId}:${taskId}`,
        tenantId,
        taskId,
        ...draft,
        createdAt: now,
        lastEditedAt: now,
        scripts: []
      }
      await model.create(task)
      return task
    },

    find: async (tenantId, taskId) => (await model.findOne({ tenantId, taskId }).lean<Task>()) ?? undefined,
    findMany: (tenantId, taskIds) =>
      model
        .find({ tenantId, taskId: { $in: [...taskIds] } })
        .lean<Task[]>()
        .exec(),

    list: (filter, page) =>
      pageOf(model.find(toFilter(filter), { scripts: 0 }).sort('taskId'), page) as Promise<PageOf<TaskRow>>,

    async update(tenantId, taskId, change, now) {
      const { matchedCount } = await model.updateOne({ tenantId, taskId }, { $set: { ...change, lastEditedAt: now } })
      return matchedCount > 0
    },

    async remove(tenantId, taskId) {
      return (await model.deleteOne({ tenantId, taskId })).deletedCount > 0
    },

    async saveScripts({ tenantId, taskId, lastEditedAt }, scripts, now) {
      const editedAt = Math.max(now, lastEditedAt + 1)
      const change = { $set: { scripts, lastEditedAt: editedAt } }
      return (await model.updateOne({ tenantId, taskId, lastEditedAt }, change)).matchedCount > 0
    },

    async setLastRun(tenantId, taskIds, at) {
      await model.updateMany({ tenantId, taskId: { $in: [...taskIds] } }, { $max: { lastRunAt: at } })
    },

    async setAssignmentsChanged(tenantId, taskIds, at) {
      await model.updateMany({ tenantId, taskId: { $in: [...taskIds] } }, { $set: { assignmentsChangedAt: at } })
    },

    async countScripts(tenantId, taskIds) {
      const found = await model.aggregate<{ _id: number; n: number }>([
        { $match: { tenantId, taskId: { $in: [...taskIds] } } },
        { $project: { _id: '$taskId', n: { $size: '$scripts' } } }
      ])
      return new Map(found.map(({ _id, n }) => [_id, n]))
    },

    async unknownAmong(tenantId, taskIds) {
      const found = await model.find({ tenantId, taskId: { $in: [...taskIds] } }, { _id: 0, taskId: 1 }).lean()
      const known = new Set(found.map(({ taskId }) => taskId))
      return taskIds.filter((id) => !known.has(id))
    }
  }
}

function toFilter({ tenantId, among, taskName, taskNameContain, enabled, ranges }: TaskFilter): QueryFilter<Task> {
  const parts: Record<string, unknown>[] = []
  if (among) parts.push({ taskId: { $in: [...among] } })
  if (taskName !== undefined) parts.push({ taskName })
  if (taskNameContain !== undefined) parts.push({ taskName: containsPattern(taskNameContain) })
  if (enabled !== undefined) parts.push({ enabled })
  if (ranges) parts.push(rangeFilter(ranges))
  return { tenantId, ...(parts.length > 0 ? { $and: parts } : {}) } as QueryFilter<Task>
}
