import { AppError, type Static, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { BrokerFacts } from '../broker/brokerFacts.js'
import type { Config } from '../config.js'
import { checkNode, nodeParam } from '../nodes/nodeParam.js'

const Row = Type.Object({
  key: Type.String(),
  value: Type.String(),
  // Spelled so on the wire.
  datatpye: Type.String(),
  app: Type.String()
})

const app = 'emqx'
const appParam = { app: Type.String({ maxLength: 128 }) }
const Change = Type.Object({ key: Type.String({ maxLength: 256 }), value: Type.String({ maxLength: 4096 }) })

type Rows = Static<typeof Row>[]

export interface ConfigRouteParts {
  node: string
  config: Config
  facts: () => Pick<BrokerFacts, 'listeners'>
}

/** EMQ REST v2.3, "configs": what the broker runs with. It is the same for every tenant, so none may change it here. */
export function emqConfigRoutes({ node, config, facts }: ConfigRouteParts): Route[] {
  const rows = async (tenantId: string) => [...settingsOf(config), ...listenerRows(await facts().listeners(tenantId))]
  const atNode = (params: { node: string }) => checkNode(node, params.node)

  return [
    ...configRoutes('/api/v2/configs', {}, { rows }),
    ...configRoutes('/api/v2/nodes/:node/configs', nodeParam, { rows, check: atNode })
  ]
}

interface Source {
  rows(tenantId: string): Promise<Rows>
  /** That of the cluster has no node to check. */
  check?(params: { node: string }): unknown
}

function configRoutes(path: string, place: Partial<typeof nodeParam>, { rows, check }: Source): Route[] {
  const checked = (params: unknown) => check?.(params as { node: string })
  return [
    route({
      method: 'get',
      path,
      summary: 'Settings of the broker',
      needs: 'broker.view',
      params: Type.Object(place),
      reply: Type.Array(Row),
      handle: ({ params, caller }) => {
        checked(params)
        return rows(caller.tenantId)
      }
    }),
    route({
      method: 'get',
      path: `${path}/:app`,
      summary: 'Settings of one application of the broker',
      needs: 'broker.view',
      params: Type.Object({ ...place, ...appParam }),
      reply: Type.Array(Row),
      handle: async ({ params, caller }) => {
        checked(params)
        return (params as { app: string }).app === app ? rows(caller.tenantId) : []
      }
    }),
    route({
      method: 'put',
      path: `${path}/:app`,
      summary: 'Refused: settings come from the environment of the process',
      needs: 'broker.edit',
      params: Type.Object({ ...place, ...appParam }),
      body: Change,
      handle: ({ params, body }) => {
        checked(params)
        throw new AppError('invalid_state', `${body.key} cannot be changed while the broker runs`)
      }
    })
  ]
}

const row = (key: string, value: string | number, datatpye: string) => ({ key, value: String(value), datatpye, app })

/** Limits of the embedded broker; EMQX has its own, which its dashboard shows. */
function settingsOf({ BROKER, BROKER_NODE, MQTT_MAX_PACKET_BYTES, MQTT_SESSION_EXPIRY_S }: Config): Rows {
  const name = row('node.name', BROKER_NODE, 'string')
  if (BROKER !== 'embedded') return [name]
  return [
    name,
    row('mqtt.max_packet_size', MQTT_MAX_PACKET_BYTES, 'bytesize'),
    row('mqtt.session.expiry_interval', `${MQTT_SESSION_EXPIRY_S}s`, 'duration')
  ]
}

/** Those that are open, under emqttd's names: the first of a kind is `external`, more of it have numbers. */
function listenerRows(listeners: { protocol: string; listen: string }[]): Rows {
  const seen = new Map<string, number>()
  return listeners.map(({ protocol, listen }) => {
    const kind = protocol.replace('mqtt:', '')
    const count = (seen.get(kind) ?? 0) + 1
    seen.set(kind, count)
    return row(`listener.${kind}.external${count === 1 ? '' : count}`, listen, 'string')
  })
}
