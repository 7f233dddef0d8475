import { AppError, type Route, route, type Static, Type } from '@fleetgate/kit'
import { defined } from '../entities/entityDoc.js'

const Port = Type.Optional(Type.Integer())
const Info = Type.Object({
  host: Type.String(),
  mqtt_port: Port,
  mqtts_port: Port,
  ws_port: Port,
  wss_port: Port,
  ws_path: Type.Optional(Type.String())
})

type PortField = 'mqtt_port' | 'mqtts_port' | 'ws_port' | 'wss_port'

const doors: Record<string, [field: PortField, port: number]> = {
  'mqtt:': ['mqtt_port', 1883],
  'tcp:': ['mqtt_port', 1883],
  'mqtts:': ['mqtts_port', 8883],
  'ssl:': ['mqtts_port', 8883],
  'ws:': ['ws_port', 80],
  'wss:': ['wss_port', 443]
}
/** Where brokers take websockets. */
const usualPath = '/mqtt'

/** The ports of further listeners, on the same host; 0 is one that nobody knows beforehand. */
export interface FurtherPorts {
  MQTTS_PORT?: number | undefined
  MQTT_WS_PORT?: number | undefined
  MQTT_WSS_PORT?: number | undefined
}

export interface BrokerInfoSettings extends FurtherPorts {
  MACHINE_MQTT_URL?: string | undefined
}

/**
 * Where devices find the broker, as the operator has set it; who they are to be there says their MQTT user. Throws at start
 * for what is no URL of MQTT.
 */
export function brokerInfoRoutes({ MACHINE_MQTT_URL, ...further }: BrokerInfoSettings): Route[] {
  const info = MACHINE_MQTT_URL === undefined ? undefined : infoOf(MACHINE_MQTT_URL, further)
  // The editor of workflows asks at the second.
  return ['/mqtt-device/broker-info', '/mqtt/broker-info'].map((path) =>
    route({
      method: 'get',
      path,
      summary: 'Host and ports of the broker for MQTT devices',
      needs: ['device.view', 'integration.view', 'workflow.view', 'workflow.edit'],
      reply: Info,
      handle: () => {
        if (info) return info
        throw new AppError('invalid_state', 'MACHINE_MQTT_URL is not set: nobody knows where devices find the broker')
      }
    })
  )
}

/** What the URL says of its own door counts before the further ones. Throws an Error for what is no URL of MQTT. */
export function infoOf(mqttUrl: string, further: FurtherPorts = {}): Static<typeof Info> {
  const url = URL.canParse(mqttUrl) ? new URL(mqttUrl) : undefined
  const door = url && doors[url.protocol]
  if (!door) throw new Error('MACHINE_MQTT_URL is no URL that begins with mqtt://, mqtts://, ws:// or wss://')
  const [field, usual] = door
  const ports = {
    mqtts_port: further.MQTTS_PORT || undefined,
    ws_port: further.MQTT_WS_PORT || undefined,
    wss_port: further.MQTT_WSS_PORT || undefined,
    [field]: url.port === '' ? usual : Number(url.port)
  }
  const path = field.startsWith('ws') ? url.pathname : usualPath
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return { host, ...defined(ports), ...(ports.ws_port || ports.wss_port ? { ws_path: path } : {}) }
}
