import {
  grantToCreator,
  listGrants,
  listNames,
  listRoleCodes,
  listUserNames,
  resourceCreated,
  resourceDeleted,
  roleChanged,
  roleGrantsChanged,
  userAuthorized
} from './accessMessages.js'
import { changeRecorded } from './auditMessages.js'
import { downChannels, upChannels } from './fleetTopics.js'
import { ClientId, EpochMs, TenantId } from './ids.js'
import { createMachineUser, dropMqttAccount, keepMqttAccount } from './machineMessages.js'
import { alertClosed, alertRaised, mailFailed, sendMail } from './noticeMessages.js'
import { peopleRpcs } from './peopleMessages.js'
import { oneOf, recordOf, type Static, type TSchema, Type } from './schema.js'
import { findStoredFile } from './storedFiles.js'
import { listMachines, machineChanged, publishMessage, valuesChanged } from './telemetryMessages.js'

/** An event: something that happened. Stream EVENTS, at least once; consumers expect repeats. */
export interface EventContract<S extends TSchema = TSchema> {
  /** `<service>.<thing>.<past tense>`, below `fleetgate.event.` */
  subject: string
  summary: string
  data: S
}

/** A question to another service, answered within a deadline. */
export interface RpcContract<Q extends TSchema = TSchema, R extends TSchema = TSchema> {
  /** `<service>.<operation>`, below `fleetgate.rpc.` */
  operation: string
  summary: string
  request: Q
  reply: R
  /** Milliseconds the caller waits. */
  timeoutMs: number
}

/** A wish that something be sent to machines. Stream COMMANDS, a work queue consumed by broker-proxy. */
export interface CommandContract<S extends TSchema = TSchema> {
  /** Below `fleetgate.command.` */
  subject: string
  summary: string
  data: S
}

/** News for whoever listens at this moment; nothing keeps it, and a message that nobody hears is gone. */
export interface SignalContract<S extends TSchema = TSchema> {
  /** `<service>.<thing>.<past tense>`, below `fleetgate.signal.`; the tenant id follows. */
  subject: string
  summary: string
  data: S
}

export const userRevoked = {
  subject: 'auth.user.revoked',
  summary:
    'Tokens of this user below a version are dead (password changed, disabled, enabled), or all of them (deleted); whoever remembers a yes or no to a service token of the user forgets it',
  data: Type.Object({
    userId: Type.String(),
    tenantId: TenantId,
    /** Tokens whose `ver` claim is lower are refused. */
    minVersion: Type.Integer(),
    at: EpochMs
  })
} satisfies EventContract

const Connection = {
  tenantId: TenantId,
  clientId: ClientId,
  username: Type.String(),
  node: Type.String(),
  ip: Type.String(),
  /** When this connection was made, by the broker's clock; with clientId it names the connection. */
  connectedAt: EpochMs
}

export const clientConnected = {
  subject: 'broker-proxy.client.connected',
  summary: 'An MQTT client connected',
  data: Type.Object(Connection)
} satisfies EventContract

export const clientDisconnected = {
  subject: 'broker-proxy.client.disconnected',
  summary: 'An MQTT connection ended; it says nothing of a newer connection of the same client',
  data: Type.Object({ ...Connection, disconnectedAt: EpochMs, reason: Type.String() })
} satisfies EventContract

export const mqttUserChanged = {
  subject: 'broker-proxy.mqttUser.changed',
  summary: 'An MQTT user was created, changed or deleted; how it is now says the store of broker-proxy',
  data: Type.Object({ tenantId: TenantId, accessKey: Type.String(), at: EpochMs })
} satisfies EventContract

export const pluginChanged = {
  subject: 'broker-proxy.plugin.changed',
  summary: 'A tenant switched or configured a plugin of its broker; how it is now says the store of broker-proxy',
  data: Type.Object({ tenantId: TenantId, name: Type.String(), at: EpochMs })
} satisfies EventContract

export const runFinished = {
  subject: 'scheduler.run.finished',
  summary: 'Every execution of a run has its final state',
  data: Type.Object({
    tenantId: TenantId,
    runId: Type.String(),
    jobId: Type.Integer(),
    result: oneOf(['SUCCESS', 'FAILED']),
    succeeded: Type.Integer(),
    failed: Type.Integer(),
    finishedAt: EpochMs
  })
} satisfies EventContract

export const CallerData = Type.Object({
  userId: Type.String(),
  tenantId: TenantId,
  email: Type.String(),
  nickname: Type.String(),
  isSuperAdmin: Type.Boolean(),
  codes: Type.Array(Type.String()),
  /** Version of the user's credentials: see auth.user.revoked. */
  version: Type.Integer(),
  /** Roles whose codes count beside `codes`: see auth.listRoleCodes. */
  roleIds: Type.Optional(Type.Array(Type.String())),
  /** Version of the user's roles: see auth.user.authorized. */
  rolesVersion: Type.Optional(Type.Integer())
})

export const verifyBasic = {
  operation: 'auth.verifyBasic',
  summary: 'Check the user name (e-mail) and password of HTTP Basic; unknown or wrong is bad_credentials',
  request: Type.Object({
    username: Type.String({ maxLength: 320 }),
    password: Type.String({ maxLength: 1024 }),
    address: Type.String()
  }),
  reply: CallerData,
  timeoutMs: 5000
} satisfies RpcContract

export const serviceTokenRevoked = {
  subject: 'auth.serviceToken.revoked',
  summary: 'A service token is dead; whoever has heard a yes for it lately forgets that',
  data: Type.Object({ tokenId: Type.String(), tenantId: TenantId, at: EpochMs })
} satisfies EventContract

/** What a program may do, and for whom. */
const ProgramData = Type.Object({
  tokenId: Type.String(),
  /** The person who made the token or the access key. */
  caller: CallerData,
  /** It allows these at most, and never more than the person may do. */
  codes: Type.Array(Type.String()),
  expiresAt: EpochMs
})

export const verifyServiceToken = {
  operation: 'auth.verifyServiceToken',
  summary: 'Whose service token this is and what it allows; unknown, expired and revoked ones are unauthenticated',
  request: Type.Object({ token: Type.String({ maxLength: 128 }) }),
  reply: ProgramData,
  timeoutMs: 3000
} satisfies RpcContract

export const verifySignature = {
  operation: 'auth.verifySignature',
  summary: 'Whose access key signed one of these texts (SDK-HMAC-SHA256) and what it allows; else unauthenticated',
  request: Type.Object({
    accessKey: Type.String({ maxLength: 64 }),
    /** The reader of the request cannot always tell which of two forms was signed. */
    texts: Type.Array(Type.String({ maxLength: 256 }), { minItems: 1, maxItems: 2 }),
    signature: Type.String({ pattern: '^[0-9a-f]{64}$' })
  }),
  reply: ProgramData,
  timeoutMs: 3000
} satisfies RpcContract

export const listPublicKeys = {
  operation: 'auth.listPublicKeys',
  summary: 'The public keys that verify access tokens, newest first',
  request: Type.Object({}),
  reply: Type.Object({ keys: Type.Array(Type.Object({ kid: Type.String(), pem: Type.String() })) }),
  timeoutMs: 3000
} satisfies RpcContract

export const listConnectedClients = {
  operation: 'broker-proxy.listConnectedClients',
  summary: 'Connected MQTT clients of every tenant in order of client id: for the periodic repair of presence',
  request: Type.Object({
    after: Type.String({ default: '' }),
    limit: Type.Integer({ minimum: 1, maximum: 2000, default: 1000 })
  }),
  reply: Type.Object({ clients: Type.Array(Type.Object(Connection)), takenAt: EpochMs }),
  timeoutMs: 5000
} satisfies RpcContract

export const deliver = {
  subject: 'deliver',
  summary:
    'Publish to fleet machines on down/{channel}, QoS 1: for each target the JSON object `common` with the fields of `own` over it. Not queued for the absent',
  data: Type.Object({
    tenantId: TenantId,
    channel: oneOf(downChannels),
    common: recordOf(Type.Unknown()),
    targets: Type.Array(Type.Object({ clientId: ClientId, own: recordOf(Type.Unknown()) }), {
      minItems: 1
    })
  })
} satisfies CommandContract
export type Deliver = Static<typeof deliver.data>

/**
 * A message from a machine or device as the uplink stream holds it. On the wire: subject
 * `fleetgate.uplink.<tenantId>.<client token>.<channel>`, metadata in NATS headers, the payload untouched.
 * `channel` is one of the fleet's up channels, or `topic` for everything else.
 */
export interface UplinkMessage {
  tenantId: string
  clientId: string
  username: string
  channel: UplinkChannel
  /** The MQTT topic as the client wrote it. */
  topic: string
  /** Broker's clock, epoch ms. */
  receivedAt: number
  payload: Uint8Array
}

export const uplinkChannels = [...upChannels, 'topic'] as const
export type UplinkChannel = (typeof uplinkChannels)[number]

/** Everything declared here, for the generated list and for tests. */
export const events: readonly EventContract[] = [
  userRevoked,
  serviceTokenRevoked,
  userAuthorized,
  roleChanged,
  roleGrantsChanged,
  resourceCreated,
  resourceDeleted,
  changeRecorded,
  clientConnected,
  clientDisconnected,
  mqttUserChanged,
  pluginChanged,
  runFinished,
  alertRaised,
  alertClosed,
  mailFailed,
  machineChanged
]
export const rpcs: readonly RpcContract[] = [
  verifyBasic,
  verifyServiceToken,
  verifySignature,
  ...peopleRpcs,
  listPublicKeys,
  listRoleCodes,
  listGrants,
  grantToCreator,
  listUserNames,
  listNames,
  listConnectedClients,
  sendMail,
  createMachineUser,
  keepMqttAccount,
  dropMqttAccount,
  findStoredFile,
  listMachines
]
export const commands: readonly CommandContract[] = [deliver, publishMessage]
export const signals: readonly SignalContract[] = [valuesChanged]
