import { join } from 'node:path'
import type { Log } from '@fleetgate/contracts'
import { type AddressRanges, createAddressRanges } from '@fleetgate/kit'
import type { Config } from '../config.js'
import type { BrokerDriver } from './brokerDriver.js'
import type { MaybeExtras } from './brokerFacts.js'
import type { ListenerOptions } from './embedded/listeners.js'
import { emqxSettings } from './emqx/settings.js'

/** The broker that the environment asks for, which alone is loaded; throws where its settings are not whole. */
export async function createBroker(config: Config, log: Log): Promise<BrokerDriver & MaybeExtras> {
  if (config.BROKER === 'emqx') {
    const { createEmqxBroker } = await import('./emqx/emqxBroker.js')
    return createEmqxBroker({ settings: emqxSettings(config), maxPayloadBytes: config.MQTT_MAX_PACKET_BYTES, log })
  }
  const { createEmbeddedBroker } = await import('./embedded/embeddedBroker.js')
  return createEmbeddedBroker({
    listeners: listenersOf(config),
    limits: {
      connections: config.MQTT_MAX_CONNECTIONS,
      connectionsPerAddress: config.MQTT_MAX_CONNECTIONS_PER_ADDRESS,
      connectionsPerSecond: config.MQTT_CONNECTIONS_PER_SECOND,
      messagesPerSecond: config.MQTT_MESSAGES_PER_SECOND,
      bytesPerSecond: config.MQTT_BYTES_PER_SECOND,
      bufferBytes: config.MQTT_SLOW_BUFFER_BYTES,
      drainMs: config.MQTT_SLOW_TIMEOUT_S * 1000,
      connectMs: config.MQTT_CONNECT_TIMEOUT_S * 1000,
      subscriptionsPerClient: config.MQTT_MAX_SUBSCRIPTIONS
    },
    maxPacketBytes: config.MQTT_MAX_PACKET_BYTES,
    dir: join(config.DATA_DIR, 'sessions'),
    sessions: {
      queueLength: config.MQTT_SESSION_QUEUE,
      queuedBytes: config.MQTT_QUEUED_BYTES,
      expiryMs: config.MQTT_SESSION_EXPIRY_S * 1000
    },
    log
  })
}

function listenersOf(config: Config): ListenerOptions {
  const { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile, MQTT_TLS_CLIENT_CA_FILE: clientCaFile } = config
  if ((config.MQTTS_PORT !== undefined || config.MQTT_WSS_PORT !== undefined) && !(certFile && keyFile)) {
    throw new Error('MQTTS_PORT and MQTT_WSS_PORT need MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE')
  }
  const ports = {
    'mqtt:tcp': config.MQTT_PORT,
    'mqtt:ssl': config.MQTTS_PORT,
    'mqtt:ws': config.MQTT_WS_PORT,
    'mqtt:wss': config.MQTT_WSS_PORT
  }
  const tls = certFile && keyFile ? { certFile, keyFile, clientCaFile } : undefined
  return { host: config.MQTT_HOST, ports, tls, proxies: proxiesOf(config) }
}

function proxiesOf({ MQTT_PROXY_PROTOCOL_FROM: setting }: Config): AddressRanges | undefined {
  const ranges = setting.split(',').map((range) => range.trim())
  if (setting.trim() === '') return undefined
  try {
    return createAddressRanges(ranges)
  } catch (cause) {
    throw new Error(`MQTT_PROXY_PROTOCOL_FROM: ${(cause as Error).message}`, { cause })
  }
}
