import { AppError, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import { checkNode, nodeParam } from '../nodes/nodeParam.js'
import type { Plugins } from './plugins.js'

const Plugin = Type.Object({
  name: Type.String(),
  version: Type.String(),
  description: Type.String(),
  active: Type.Boolean()
})

const SettingRow = Type.Object({
  key: Type.String(),
  value: Type.String(),
  desc: Type.String(),
  required: Type.Boolean()
})
const Change = Type.Object({ key: Type.String({ maxLength: 256 }), value: Type.String({ maxLength: 4096 }) })
const pluginParam = { ...nodeParam, plugin: Type.String({ maxLength: 128 }) }

const alreadyStarted = 110
const notStarted = 111

export interface PluginRouteParts {
  node: string
  version: string
  plugins: Plugins
}

/** EMQ REST v2, "plugins". */
export function emqPluginRoutes({ node, version, plugins }: PluginRouteParts): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/plugins',
      summary: 'Plugins of a node',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      reply: Type.Array(Plugin),
      handle: async ({ params, caller }) => {
        checkNode(node, params.node)
        const found = await plugins.list(caller.tenantId)
        return found.map(({ name, description, active }) => ({ name, version, description, active }))
      }
    }),
    route({
      method: 'put',
      path: '/api/v2/nodes/:node/plugins/:name',
      summary: 'Start or stop a plugin',
      needs: 'broker.edit',
      params: Type.Object({ ...nodeParam, name: Type.String({ maxLength: 128 }) }),
      body: Type.Object({ active: Type.Boolean() }),
      handle: async ({ params, body: { active }, caller }) => {
        checkNode(node, params.node)
        await coded(plugins.set(caller.tenantId, ownName(params.name), active), active)
      }
    }),
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/plugin_configs/:plugin',
      summary: 'Settings of a plugin; secrets are masked',
      needs: 'broker.view',
      params: Type.Object(pluginParam),
      reply: Type.Array(SettingRow),
      handle: ({ params, caller }) => {
        checkNode(node, params.node)
        return plugins.settings(caller.tenantId, ownName(params.plugin))
      }
    }),
    route({
      method: 'put',
      path: '/api/v2/nodes/:node/plugin_configs/:plugin',
      summary: 'Sets settings of a plugin, one or a list; an empty value takes one away',
      needs: 'broker.edit',
      params: Type.Object(pluginParam),
      body: Type.Union([Change, Type.Array(Change, { minItems: 1, maxItems: 100 })]),
      handle: async ({ params, body, caller }) => {
        checkNode(node, params.node)
        await plugins.configure(caller.tenantId, ownName(params.plugin), [body].flat())
      }
    })
  ]
}

/** 2.3 of the open edition says `emq_` where 2.1 said `emqx_`. */
function ownName(name: string): string {
  return name.replace(/^emq_/, 'emqx_')
}

async function coded(work: Promise<void>, active: boolean): Promise<void> {
  try {
    await work
  } catch (cause) {
    if (!(cause instanceof AppError) || cause.code !== 'conflict') throw cause
    throw new AppError('conflict', cause.message, { wireCode: active ? alreadyStarted : notStarted }, { cause })
  }
}
