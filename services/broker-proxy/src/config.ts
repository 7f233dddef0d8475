import { commonConfig, oneOf, type Static, Type } from '@fleetgate/kit'
import { emqxConfig } from './broker/emqx/settings.js'
import { emqForms } from './nodes/byNode.js'

export const Config = Type.Object({
  ...commonConfig,
  ...emqxConfig,
  /** Which broker: `embedded` is aedes in this process, `emqx` an EMQX 5. */
  BROKER: Type.String({ enum: ['embedded', 'emqx'], default: 'embedded' }),
  BROKER_NODE: Type.String({ default: 'fleetgate@127.0.0.1', minLength: 1, maxLength: 128 }),
  /** In whose form `monitoring/stats`, `metrics` and `listeners` of the cluster come. */
  EMQ_FORM: oneOf(emqForms, { default: '2.1' }),
  MQTT_HOST: Type.String({ default: '127.0.0.1' }),
  /** 0 takes a free one. */
  MQTT_PORT: Type.Integer({ minimum: 0, maximum: 65535, default: 1883 }),
  /** Listeners beside it, each only where its port is set; 0 takes a free one. */
  MQTTS_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
  MQTT_WS_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
  MQTT_WSS_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
  /** Addresses and CIDR ranges of load balancers that say before each connection to `MQTT_PORT` whose it is (PROXY protocol). */
  MQTT_PROXY_PROTOCOL_FROM: Type.String({ default: '' }),
  /** PEM files of the TLS listeners. With a client CA only clients with a certificate of it may connect. */
  MQTT_TLS_CERT_FILE: Type.Optional(Type.String({ minLength: 1 })),
  MQTT_TLS_KEY_FILE: Type.Optional(Type.String({ minLength: 1 })),
  MQTT_TLS_CLIENT_CA_FILE: Type.Optional(Type.String({ minLength: 1 })),
  /** Connections at once; EMQ's listener takes as many by default. 0: no limit, here and in those below. */
  MQTT_MAX_CONNECTIONS: Type.Integer({ minimum: 0, default: 102_400 }),
  MQTT_MAX_CONNECTIONS_PER_ADDRESS: Type.Integer({ minimum: 0, default: 0 }),
  MQTT_CONNECTIONS_PER_SECOND: Type.Integer({ minimum: 0, default: 0 }),
  /** What one client may publish in a second; what is more waits in its socket. */
  MQTT_MESSAGES_PER_SECOND: Type.Integer({ minimum: 0, default: 0 }),
  MQTT_BYTES_PER_SECOND: Type.Integer({ minimum: 0, default: 0 }),
  MQTT_MAX_SUBSCRIPTIONS: Type.Integer({ minimum: 1, default: 1000 }),
  /** Until the CONNECT has come; TLS and WebSocket handshakes have as long. */
  MQTT_CONNECT_TIMEOUT_S: Type.Integer({ minimum: 1, maximum: 600, default: 10 }),
  /** A receiver whose socket takes nothing for so long is closed; with more than so many bytes before it, QoS 0 is left out. */
  MQTT_SLOW_TIMEOUT_S: Type.Integer({ minimum: 1, maximum: 3600, default: 20 }),
  MQTT_SLOW_BUFFER_BYTES: Type.Integer({ minimum: 10_000, default: 8_000_000 }),
  /** Largest MQTT packet taken; it has to fit into one NATS message (1 MB) with its headers. */
  MQTT_MAX_PACKET_BYTES: Type.Integer({ minimum: 300_000, maximum: 1_000_000, default: 1_000_000 }),
  /** Wrong passwords an address may send in a minute before it has to wait. */
  MQTT_FAILED_LOGINS_PER_MINUTE: Type.Integer({ minimum: 1, default: 60 }),
  /** MQTT users a tenant may have; DMS documents 1000. */
  MQTT_MAX_USERS: Type.Integer({ minimum: 1, maximum: 100_000, default: 1000 }),
  /** Lets tenants stop the plugins for log-in and permissions: their machines come in by the name of an MQTT user alone. */
  MQTT_ALLOW_OPEN: Type.Boolean({ default: false }),
  /** Messages of one tenant to `$delayed/…` that may wait. */
  MQTT_MAX_DELAYED: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 10_000 }),
  /** Hosts, addresses and CIDR ranges that web hooks may call beside public addresses, with commas between them. */
  WEB_HOOK_ALLOWED_HOSTS: Type.String({ default: '' }),
  /** Log-in without password from the addresses of a user's list, as RocketMQ does. */
  MQTT_WHITELIST_AS_ROCKETMQ: Type.Boolean({ default: false }),
  /** Seconds after which the session of an absent client (clean = false) is forgotten. */
  MQTT_SESSION_EXPIRY_S: Type.Integer({ minimum: 1, default: 7200 }),
  /** Messages that wait for one session (clean = false), those on their way to it included; newer ones are dropped then. */
  MQTT_SESSION_QUEUE: Type.Integer({ minimum: 1, maximum: 60_000, default: 1000 }),
  /** Bytes of all waiting messages, each counted once; they are in memory too. */
  MQTT_QUEUED_BYTES: Type.Integer({ minimum: 1_000_000, default: 512_000_000 }),
  /** The local file cache lives here, and the embedded broker's sessions. */
  DATA_DIR: Type.String({ default: '.data/broker-proxy', minLength: 1 }),
  CACHE_BYTES: Type.Integer({ minimum: 1, default: 2_000_000_000 }),
  MAX_FILE_BYTES: Type.Integer({ minimum: 1, default: 10_000_000_000 }),
  /** How long after the first machine has joined a cast others are gathered; agents wait 6 s for its first block. */
  CAST_GATHER_MS: Type.Integer({ minimum: 0, maximum: 5_000, default: 2_000 }),
  /** Of content that all casts of this process send together; their members take it each. */
  CAST_BYTES_PER_SECOND: Type.Integer({ minimum: 300_000, default: 20_000_000 }),
  /** Days after which a file goes that nobody has stored or fetched; longer than the longest run. 0 keeps all. */
  FILE_RETENTION_DAYS: Type.Number({ minimum: 0, default: 0 }),
  /** What all files of a tenant may have together; 0 means no limit. */
  FILE_QUOTA_BYTES: Type.Integer({ minimum: 0, default: 0 })
})
export type Config = Static<typeof Config>
