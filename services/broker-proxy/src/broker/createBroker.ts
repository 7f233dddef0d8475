import { join } from 'node:path'
import type { Log } from '@fleetgate/contracts'
import type { Config } from '../config.js'
import type { BrokerDriver } from './brokerDriver.js'
import { createEmbeddedBroker } from './embedded/embeddedBroker.js'
import { createEmqxBroker } from './emqx/emqxBroker.js'
import { emqxSettings } from './emqx/settings.js'

/** The broker that the environment asks for; throws where its settings are not whole. */
export function createBroker(config: Config, log: Log): BrokerDriver {
  if (config.BROKER === 'emqx') {
    return createEmqxBroker({ settings: emqxSettings(config), maxPayloadBytes: config.MQTT_MAX_PACKET_BYTES, log })
  }
  return createEmbeddedBroker({
    host: config.MQTT_HOST,
    port: config.MQTT_PORT,
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
