import {
  AppError,
  BeaverPage,
  beaverCreator,
  beaverPaging,
  beaverRange,
  may,
  type Route,
  route,
  type Static,
  Type,
  toBeaverCreator,
  toBeaverPage,
  type UserNames
} from '@fleetgate/kit'
import { ById, NumericId, orNull } from '../beaverIds.js'
import type { Workflow } from './workflowDoc.js'
import type { WorkflowDraft, Workflows } from './workflows.js'

const Name = Type.String({ minLength: 1, maxLength: 50, pattern: '\\S' })
const Remark = orNull<string>({ type: 'string', maxLength: 500 })
export const DesignText = Type.String({ minLength: 2, maxLength: 900_000 })

const Listed = Type.Object({
  id: Type.String(),
  name: Type.String(),
  remark: Type.String(),
  enabled: Type.Boolean(),
  ...beaverCreator,
  created_at: Type.Integer(),
  updated_at: Type.Integer()
})
const Design = Type.Object({
  id: Type.String(),
  name: Type.String(),
  remark: Type.String(),
  enabled: Type.Boolean(),
  version: Type.Integer(),
  design_data: Type.String(),
  /** Ours: what the design refers to and is not there, or how its nodes are unfinished. */
  invalid: Type.Array(Type.Object({ node_id: Type.String(), field: Type.String(), reason: Type.String() }))
})
const Save = Type.Object({
  id: Type.Optional(Type.Unsafe<string | number | null>({ ...NumericId, type: ['string', 'integer', 'null'] })),
  name: Name,
  remark: Remark,
  enabled: orNull<boolean>({ type: 'boolean' }),
  version: orNull<number>({ type: 'integer', minimum: 0 }),
  design_data: DesignText
})

/** Searching, naming, enabling and designing workflows. */
export function workflowRoutes(workflows: Workflows): Route[] {
  return [
    route({
      method: 'post',
      path: '/workflow/flows/search',
      summary: 'Workflows, newest first',
      needs: 'workflow.view',
      body: Type.Object({
        name: orNull<string>({ type: 'string', maxLength: 255 }),
        enabled: orNull<boolean>({ type: 'boolean' }),
        ...beaverPaging
      }),
      reply: BeaverPage(Listed),
      handle: async ({ body, caller }) => {
        const wish = { name: body.name || undefined, enabled: body.enabled ?? undefined }
        const { items, total, creators } = await workflows.search(wish, beaverRange(body), caller)
        return toBeaverPage(body, { items: items.map((item) => toListed(item, creators)), total })
      }
    }),
    route({
      method: 'post',
      path: '/workflow/flows/batch-delete',
      summary: 'Delete workflows with their versions and logs',
      needs: 'workflow.delete',
      body: Type.Object({ workflow_id_list: Type.Array(NumericId, { minItems: 1, maxItems: 1000 }) }),
      handle: ({ body, caller }) => workflows.remove(body.workflow_id_list.map(String), caller)
    }),
    route({
      method: 'post',
      path: '/workflow/flows/design',
      summary: 'Create a workflow, or save the design of one: its version must be the current one',
      needs: ['workflow.add', 'workflow.edit'],
      body: Save,
      reply: Type.Object({ flow_id: Type.String(), version: Type.Integer() }),
      handle: async ({ body, caller }) => {
        const draft = toDraft(body)
        const code = draft.id === undefined ? 'workflow.add' : 'workflow.edit'
        if (!may(caller, code)) throw new AppError('forbidden', `not allowed: needs ${code}`)
        const { id, version } = await workflows.save(draft, caller)
        return { flow_id: id, version }
      }
    }),
    route({
      method: 'put',
      path: '/workflow/flows/:id',
      summary: 'Rename a workflow',
      needs: 'workflow.edit',
      params: ById,
      body: Type.Object({ name: Name, remark: Remark }),
      handle: ({ params, body, caller }) =>
        workflows.rename(params.id, { name: body.name, remark: body.remark ?? undefined }, caller)
    }),
    route({
      method: 'get',
      path: '/workflow/flows/:id/enable',
      summary: 'Enable a workflow; refused where its design cannot run',
      needs: 'workflow.edit',
      params: ById,
      handle: ({ params, caller }) => workflows.setEnabled(params.id, true, caller)
    }),
    route({
      method: 'get',
      path: '/workflow/flows/:id/disable',
      summary: 'Disable a workflow',
      needs: 'workflow.edit',
      params: ById,
      handle: ({ params, caller }) => workflows.setEnabled(params.id, false, caller)
    }),
    route({
      method: 'get',
      path: '/workflow/flows/:id/design',
      summary: 'The design of a workflow, the current one or an older version',
      needs: ['workflow.edit', 'workflow.view'],
      params: ById,
      query: Type.Object({ version: Type.Optional(Type.Integer({ minimum: 1 })) }),
      reply: Design,
      handle: async ({ params, query, caller }) => {
        const { workflow, invalid } = await workflows.design(params.id, query.version, caller)
        const { id, name, remark, enabled, version, design } = workflow
        const marks = invalid.map(({ nodeId, field, reason }) => ({ node_id: nodeId, field, reason }))
        return { id, name, remark, enabled, version, design_data: design, invalid: marks }
      }
    })
  ]
}

function toDraft({ id, name, remark, enabled, version, design_data }: Static<typeof Save>): WorkflowDraft {
  return {
    id: id === undefined || id === null ? undefined : String(id),
    name,
    remark: remark ?? '',
    enabled: enabled ?? false,
    version: version ?? undefined,
    design: design_data
  }
}

function toListed(workflow: Workflow, creators: UserNames | undefined): Static<typeof Listed> {
  const { id, name, remark, enabled, userId, createdAt, updatedAt } = workflow
  const about = { id, name, remark, enabled, created_at: createdAt, updated_at: updatedAt }
  return { ...about, ...toBeaverCreator(userId, creators) }
}
