import { AppError, type Route, route, type Static, Type } from '@fleetgate/kit'

const Port = Type.Optional(Type.Integer())
const Info = Type.Object({
  host: Type.String(),
  mqtt_port: Port,
  mqtts_port: Port,
  ws_port: Port,
  wss_port: Port,
  ws_path: Type.Optional(Type.String())
})

const doors: Record<string, [field: 'mqtt_port' | 'mqtts_port' | 'ws_port' | 'wss_port', port: number]> = {
  'mqtt:': ['mqtt_port', 1883],
  'mqtts:': ['mqtts_port', 8883],
  'ws:': ['ws_port', 80],
  'wss:': ['wss_port', 443]
}

/** Where devices find the broker, as the operator has set it; who they are to be there says their MQTT user. */
export function brokerInfoRoute(mqttUrl: string | undefined): Route {
  return route({
    method: 'get',
    path: '/mqtt-device/broker-info',
    summary: 'Host and port of the broker for MQTT devices',
    needs: ['device.view', 'integration.view'],
    reply: Info,
    handle: () => {
      if (mqttUrl === undefined) {
        throw new AppError('invalid_state', 'MACHINE_MQTT_URL is not set: nobody knows where devices find the broker')
      }
      return infoOf(mqttUrl)
    }
  })
}

/** Throws an Error for what is no URL of MQTT. */
export function infoOf(mqttUrl: string): Static<typeof Info> {
  const { protocol, hostname, port, pathname } = new URL(mqttUrl)
  const door = doors[protocol]
  if (!door) throw new Error('MACHINE_MQTT_URL begins with mqtt://, mqtts://, ws:// or wss://')
  const [field, usual] = door
  const path = field.startsWith('ws') ? { ws_path: pathname } : {}
  return { host: hostname, [field]: port === '' ? usual : Number(port), ...path }
}
