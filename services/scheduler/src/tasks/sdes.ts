import { type Route, route, type Static, sdesRange, Type, toSdesPage } from '@fleetgate/kit'
import { flatten } from '../executions/view.js'
import { Done, Success, toFlag, toRanges } from '../sdesFields.js'
import type { Settings } from '../settings/settings.js'
import {
  ById,
  Change,
  Details,
  Draft,
  Row,
  Saved,
  Scripts,
  TaskPage,
  TaskQuery,
  toChange,
  toDraft,
  toRow,
  toScript
} from './sdesShapes.js'
import type { TaskFilter } from './taskStore.js'
import type { Tasks } from './tasks.js'

export function taskRoutes(tasks: Tasks, settings: Settings): Route[] {
  const setEnabled = (word: 'enable' | 'disable') =>
    route({
      method: 'put',
      path: `/v1/tasks/:taskId/${word}`,
      summary: word === 'enable' ? 'Let a task take part in runs' : 'Leave a task out of runs; open runs keep it',
      needs: 'job.edit',
      params: ById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await tasks.change(caller.tenantId, params.taskId, { enabled: word === 'enable' })
        return 'success'
      }
    })

  return [
    route({
      method: 'get',
      path: '/v1/tasks',
      summary: 'List tasks',
      needs: 'job.view',
      query: TaskQuery,
      reply: TaskPage,
      handle: ({ query, caller }) => listTasks(tasks, { tenantId: caller.tenantId }, query)
    }),
    route({
      method: 'post',
      path: '/v1/tasks',
      summary: 'Create a task',
      needs: 'job.edit',
      body: Draft,
      reply: Row,
      handle: async ({ body, caller: { tenantId } }) =>
        toRow(await tasks.register(tenantId, toDraft(body, await settings.get(tenantId, 'tasks'))))
    }),
    route({
      method: 'put',
      path: '/v1/tasks',
      summary: 'Change a task',
      needs: 'job.edit',
      body: Change,
      reply: Done,
      handle: async ({ body, caller }) => {
        const stored = await tasks.get(caller.tenantId, body.taskId)
        await tasks.change(caller.tenantId, body.taskId, toChange(body, stored))
        return { desc: null }
      }
    }),
    route({
      method: 'get',
      path: '/v1/tasks/:taskId/details',
      summary: 'Read one task',
      needs: 'job.view',
      params: ById,
      reply: Details,
      handle: async ({ params, caller }) => {
        const task = await tasks.get(caller.tenantId, params.taskId)
        return { ...toRow(task), enabled: task.enabled ? (1 as const) : (0 as const), enable: task.enabled }
      }
    }),
    route({
      method: 'delete',
      path: '/v1/tasks/:taskId',
      summary: 'Delete a task; runs that have begun keep it',
      needs: 'job.edit',
      params: ById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await tasks.retire(caller.tenantId, params.taskId)
        return 'success'
      }
    }),
    setEnabled('enable'),
    setEnabled('disable'),
    ...scriptRoutes(tasks)
  ]
}

function scriptRoutes(tasks: Tasks): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/tasks/:taskId/scripts',
      summary: 'Read the steps of a task: `script` is the tree as JSON text, `scripts` the tree itself',
      needs: 'job.view',
      params: ById,
      reply: Scripts,
      handle: async ({ params, caller }) => {
        const { scripts } = await tasks.get(caller.tenantId, params.taskId)
        const rows = scripts.map(toScript)
        return { script: JSON.stringify(rows), scripts: rows }
      }
    }),
    route({
      method: 'post',
      path: '/v1/tasks/:taskId/scripts',
      summary: 'Replace the steps of a task; answers the number of each, in the order of the tree',
      needs: 'job.edit',
      params: ById,
      body: Type.Array(Type.Unknown()),
      reply: Saved,
      handle: async ({ params, body, caller }) => {
        const scripts = await tasks.saveScripts(caller.tenantId, params.taskId, body)
        return flatten(scripts).map(({ step }) => ({ scriptId: step.scriptId, scriptType: step.type }))
      }
    })
  ]
}

export async function listTasks(
  tasks: Tasks,
  scope: Pick<TaskFilter, 'tenantId' | 'among'>,
  query: Static<typeof TaskQuery>
): Promise<Static<typeof TaskPage>> {
  const { taskName, taskNameContain } = query
  const ranges = toRanges(query, {
    lastEditedAt: 'lastEditedAt',
    lastRunAt: 'lastRunAt',
    assignmentsChangedAt: 'assignmentsChangedAt',
    createdAt: 'createAt'
  })
  const filter = { ...scope, taskName, taskNameContain, enabled: toFlag(query.enabled), ranges }
  const found = await tasks.list(filter, sdesRange(query))
  return toSdesPage({ ...found, items: found.items.map(toRow) })
}
