import { AppError, type Step } from '@fleetgate/kit'
import type { Counters, Page, PageOf } from '@fleetgate/store'
import { flatten } from '../executions/view.js'
import { bytesOf } from '../runs/run.js'
import type { RequireContents } from './requireContents.js'
import { checkSteps, numberSteps, stepsWithin } from './steps.js'
import type { Task, TaskDraft } from './task.js'
import type { TaskFilter, TaskRow, TaskStore } from './taskStore.js'

export interface TasksDeps {
  store: TaskStore
  counters: Counters
  now: () => number
  /** Takes a task out of the jobs that it is bound to. */
  unbind: (tenantId: string, taskId: number) => Promise<void>
  requireContents: RequireContents
}

export interface Tasks {
  register(tenantId: string, draft: TaskDraft): Promise<Task>
  get(tenantId: string, taskId: number): Promise<Task>
  list(filter: TaskFilter, page: Page): Promise<PageOf<TaskRow>>
  change(tenantId: string, taskId: number, change: Partial<TaskDraft>): Promise<void>
  retire(tenantId: string, taskId: number): Promise<void>
  /** The steps of each task, without those inside others. */
  countScripts(tenantId: string, taskIds: readonly number[]): Promise<Map<number, number>>
  /** Checks and saves the whole tree of steps; answers it with its numbers. */
  saveScripts(tenantId: string, taskId: number, drafts: readonly unknown[]): Promise<Step[]>
}

export const maxScriptsLength = 100 * 1024

export function createTasks({ store, counters, now, unbind, requireContents }: TasksDeps): Tasks {
  async function get(tenantId: string, taskId: number): Promise<Task> {
    return (await store.find(tenantId, taskId)) ?? missing(taskId)
  }

  return {
    get,
    register: (tenantId, draft) => store.insert(tenantId, draft, now()),
    list: (filter, page) => store.list(filter, page),
    countScripts: (tenantId, taskIds) => store.countScripts(tenantId, taskIds),

    async change(tenantId, taskId, change) {
      if (!(await store.update(tenantId, taskId, change, now()))) missing(taskId)
    },

    async retire(tenantId, taskId) {
      await get(tenantId, taskId)
      await unbind(tenantId, taskId)
      if (!(await store.remove(tenantId, taskId))) missing(taskId)
    },

    async saveScripts(tenantId, taskId, drafts) {
      const task = await get(tenantId, taskId)
      const steps = checkSteps(drafts, task.scripts)
      await requireContents(tenantId, steps, task.scripts)
      const known = new Set(flatten(task.scripts).map(({ step }) => step.scriptId))
      const count = stepsWithin(steps).length
      let next = count > 0 ? await counters.next(tenantId, 'script', count) : 0
      const scripts = numberSteps(steps, known, () => next++)
      if (bytesOf(scripts) > maxScriptsLength) {
        throw new AppError('invalid_input', `the steps of a task take at most ${maxScriptsLength} bytes`)
      }
      if (!(await store.saveScripts(task, scripts, now()))) {
        throw new AppError('conflict', `task ${taskId} was changed meanwhile, read it again`)
      }
      return scripts
    }
  }
}

function missing(taskId: number): never {
  throw new AppError('not_found', `task ${taskId} not found`)
}
