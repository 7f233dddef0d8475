import {
  BeaverPage,
  beaverPaging,
  beaverRange,
  type Route,
  recordOf,
  route,
  type Static,
  Type,
  toBeaverPage
} from '@fleetgate/kit'
import { ById, orNull } from '../beaverIds.js'
import { DesignText } from './beaver.js'
import { editorForm } from './editorForm.js'
import type { Trace } from './journal.js'
import { languages } from './nodes/code.js'
import { nodeTypes } from './nodes/index.js'
import type { Run, RunState } from './runDoc.js'
import type { Trials } from './trials.js'
import type { Workflows } from './workflows.js'

const Log = Type.Object({
  id: Type.String(),
  start_time: Type.Integer(),
  time_cost: Type.Integer(),
  status: Type.String(),
  version: Type.Integer(),
  message: Type.Optional(Type.String())
})
const TraceItem = Type.Object({
  message_id: Type.String(),
  node_id: Type.String(),
  node_label: Type.String(),
  node_name: Type.String(),
  status: Type.String(),
  start_time: Type.Integer(),
  time_cost: Type.Integer(),
  error_message: Type.Optional(Type.String()),
  input: Type.Optional(Type.String()),
  output: Type.Optional(Type.String())
})
const Component = Type.Object({ name: Type.String(), title: Type.String(), data: Type.String() })
const Components = recordOf(Type.Array(Component))
const Input = Type.Optional(
  Type.Unsafe<Record<string, unknown> | null>({ type: ['object', 'null'], additionalProperties: true })
)
const ended: RunState[] = ['SUCCESS', 'ERROR']

/** Logs of runs, trials, and what an editor must know of the nodes. */
export function workflowLogRoutes(workflows: Workflows, trials: Trials): Route[] {
  return [
    route({
      method: 'post',
      path: '/workflow/flows/:id/logs/search',
      summary: 'Runs that ended, newest first',
      needs: 'workflow.view',
      params: ById,
      body: Type.Object({ status: orNull<string>({ type: 'string', maxLength: 16 }), ...beaverPaging }),
      reply: BeaverPage(Log),
      handle: async ({ params, body, caller }) => {
        const wanted = (body.status ?? '').toUpperCase()
        const states = ended.filter((state) => state.includes(wanted))
        const { items, total } = await workflows.logs(params.id, states, beaverRange(body), caller)
        return toBeaverPage(body, { items: items.map(toLog), total })
      }
    }),
    route({
      method: 'get',
      path: '/workflow/flows/logs/:id',
      summary: 'One run with what each node did',
      needs: 'workflow.view',
      params: ById,
      reply: Type.Intersect([Log, Type.Object({ trace_info: Type.Array(TraceItem) })]),
      handle: async ({ params, caller }) => {
        const run = await workflows.log(params.id, caller)
        return { ...toLog(run), trace_info: run.traces.map((trace) => toTrace(trace, run.id)) }
      }
    }),
    route({
      method: 'post',
      path: '/workflow/flows/design/validate',
      summary: 'True where a design can run; else the reason, naming the node',
      needs: ['workflow.edit', 'workflow.add'],
      body: Type.Object({ design_data: DesignText }),
      reply: Type.Boolean(),
      handle: async ({ body, caller }) => {
        await workflows.check(body.design_data, caller)
        return true
      }
    }),
    route({
      method: 'post',
      path: '/workflow/flows/design/test',
      summary: 'Run a design once with this input of its entry; nodes do what they do, and nothing is logged',
      needs: ['workflow.edit', 'workflow.add'],
      body: Type.Object({ design_data: DesignText, input: Input }),
      reply: Type.Object({
        status: Type.String(),
        flow_id: Type.Optional(Type.String()),
        start_time: Type.Integer(),
        time_cost: Type.Integer(),
        trace_infos: Type.Array(TraceItem),
        empty: Type.Boolean()
      }),
      handle: async ({ body, caller }) => {
        const { id, result, startedAt, costMs } = await trials.design(body.design_data, body.input ?? {}, caller)
        const traces = result.traces.map((trace) => toTrace(trace, id))
        return {
          status: result.status,
          start_time: startedAt,
          time_cost: costMs,
          trace_infos: traces,
          empty: traces.length === 0
        }
      }
    }),
    route({
      method: 'post',
      path: '/workflow/flows/node/test',
      summary: 'Run one node; the input stands for what other nodes would put out',
      needs: ['workflow.edit', 'workflow.add'],
      body: Type.Object({ node_config: DesignText, input: Input }),
      reply: TraceItem,
      handle: async ({ body, caller }) => {
        const { id, trace } = await trials.node(body.node_config, body.input ?? {}, caller)
        return toTrace(trace, id)
      }
    }),
    route({
      method: 'get',
      path: '/workflow/components',
      summary: 'The kinds of nodes by group, each with its form as JSON text',
      needs: ['workflow.edit', 'workflow.add', 'workflow.view'],
      reply: Components,
      handle: () => {
        const found: Static<typeof Components> = {}
        for (const type of nodeTypes) {
          const { group, component: name, title } = type
          found[group] = [...(found[group] ?? []), { name, title, data: editorForm(type) }]
        }
        return found
      }
    }),
    route({
      method: 'get',
      path: '/workflow/components/languages',
      summary: 'Languages of code and of conditions',
      needs: ['workflow.edit', 'workflow.add', 'workflow.view'],
      reply: Type.Object({ code: Type.Array(Type.String()), expression: Type.Array(Type.String()) }),
      handle: () => ({ code: [...languages.code], expression: [...languages.expression] })
    }),
    route({
      method: 'get',
      path: '/workflow/components/:name',
      summary: 'The form of one kind of node as JSON text; `parameters` in it is the JSON Schema',
      needs: ['workflow.edit', 'workflow.add', 'workflow.view'],
      params: Type.Object({ name: Type.String({ maxLength: 64 }) }),
      reply: Type.String(),
      handle: ({ params }) => editorForm(trials.typeNamed(params.name))
    })
  ]
}

function toLog(run: Run): Static<typeof Log> {
  const { id, state, version, message, queuedAt, startedAt = queuedAt, finishedAt = startedAt } = run
  const log = { id, start_time: startedAt, time_cost: Math.max(0, finishedAt - startedAt), status: state, version }
  return message === undefined ? log : { ...log, message }
}

function toTrace(trace: Trace, runId: string): Static<typeof TraceItem> {
  return {
    message_id: `${runId}:${trace.nodeId}`,
    node_id: trace.nodeId,
    node_label: trace.label,
    node_name: trace.name,
    status: trace.status,
    start_time: trace.startedAt,
    time_cost: trace.costMs,
    input: trace.input,
    ...(trace.message === undefined ? {} : { error_message: trace.message }),
    ...(trace.output === undefined ? {} : { output: trace.output })
  }
}
