import { commonConfig, type Static, Type } from '@fleetgate/kit'
import { workflowSettings } from './workflows/settings.js'

const Port = Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 }))

export const Config = Type.Object({
  ...commonConfig,
  ...workflowSettings,
  /** Dashboards are listed in one answer, so their number is bounded. */
  MAX_DASHBOARDS: Type.Integer({ minimum: 1, default: 1000 }),
  /** Characters of the widgets of all of them. */
  MAX_DASHBOARDS_SIZE: Type.Integer({ minimum: 1000, default: 32_000_000 }),
  /** Bytes of the images that people put on dashboards, of a tenant. */
  MAX_IMAGES_SIZE: Type.Integer({ minimum: 1000, default: 64_000_000 }),
  /** Where MQTT devices find the broker; told by `/mqtt-device/broker-info`. */
  MACHINE_MQTT_URL: Type.Optional(Type.String({ pattern: '^(mqtts?|wss?|tcp|ssl)://[^/]+' })),
  /** Further doors of the broker on the same host, called as its own listeners are; told beside that of the URL. */
  MQTTS_PORT: Port,
  MQTT_WS_PORT: Port,
  MQTT_WSS_PORT: Port,
  /** Days that values of entities are kept; 0 keeps them for ever. */
  HISTORY_DAYS: Type.Integer({ minimum: 0, maximum: 36_500, default: 365 }),
  /** Open at a time in one process. */
  MAX_WEBSOCKETS: Type.Integer({ minimum: 1, default: 10_000 }),
  /** A websocket that gave no sign of life for two of these is ended. */
  WEBSOCKET_PING_MS: Type.Integer({ minimum: 100, default: 20_000 }),
  /** Milliseconds between two comparisons of the fleet's devices with the scheduler's machines. */
  FLEET_RECONCILE_MS: Type.Integer({ minimum: 100, default: 60_000 }),
  /** Milliseconds between two looks for what is old or was left undone. */
  SWEEP_MS: Type.Integer({ minimum: 100, default: 15_000 })
})
export type Config = Static<typeof Config>
