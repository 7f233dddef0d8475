import { AppError, type Static, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
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

export interface ConfigRouteParts {
  node: string
  config: Config
}

/** EMQ REST v2.3, "configs": what the broker runs with. It is the same for every tenant, so none may change it here. */
export function emqConfigRoutes({ node, config }: ConfigRouteParts): Route[] {
  const rows = rowsOf(config)
  const ofApp = (name: string) => rows.filter((row) => row.app === name)
  const atNode = (params: { node: string }) => checkNode(node, params.node)

  return [
    ...configRoutes('/api/v2/configs', {}, { rows, ofApp }),
    ...configRoutes('/api/v2/nodes/:node/configs', nodeParam, { rows, ofApp, check: atNode })
  ]
}

interface Source {
  rows: Static<typeof Row>[]
  ofApp(name: string): Static<typeof Row>[]
  /** That of the cluster has no node to check. */
  check?(params: { node: string }): unknown
}

function configRoutes(path: string, place: Partial<typeof nodeParam>, { rows, ofApp, check }: Source): Route[] {
  const checked = (params: unknown) => check?.(params as { node: string })
  return [
    route({
      method: 'get',
      path,
      summary: 'Settings of the broker',
      needs: 'broker.view',
      params: Type.Object(place),
      reply: Type.Array(Row),
      handle: ({ params }) => {
        checked(params)
        return rows
      }
    }),
    route({
      method: 'get',
      path: `${path}/:app`,
      summary: 'Settings of one application of the broker',
      needs: 'broker.view',
      params: Type.Object({ ...place, ...appParam }),
      reply: Type.Array(Row),
      handle: ({ params }) => {
        checked(params)
        return ofApp((params as { app: string }).app)
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

function rowsOf(config: Config): Static<typeof Row>[] {
  const row = (key: string, value: string | number, datatpye: string) => ({ key, value: String(value), datatpye, app })
  return [
    row('node.name', config.BROKER_NODE, 'string'),
    row('mqtt.max_packet_size', config.MQTT_MAX_PACKET_BYTES, 'bytesize'),
    row('mqtt.session.expiry_interval', `${config.MQTT_SESSION_EXPIRY_S}s`, 'duration'),
    row('listener.tcp.external', `${config.MQTT_HOST}:${config.MQTT_PORT}`, 'string')
  ]
}
