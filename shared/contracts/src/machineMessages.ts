import { ClientId, TenantId } from './ids.js'
import type { RpcContract } from './messages.js'
import { Type } from './schema.js'

export const createMachineUser = {
  operation: 'broker-proxy.createMachineUser',
  summary:
    'Make the MQTT user with which one machine, and nothing but its own client id, logs in. Asked again with the same grant it answers the same; a user made with another grant, or a client id of another tenant, is a conflict',
  request: Type.Object({
    tenantId: TenantId,
    clientId: ClientId,
    /** What allows it: a repeat of the same is no new machine. */
    grant: Type.String({ minLength: 1, maxLength: 128 }),
    /** Take over a user made with another grant: it gets a new password, and its connections end. */
    replace: Type.Boolean()
  }),
  reply: Type.Object({ username: Type.String(), password: Type.String() }),
  timeoutMs: 5000
} satisfies RpcContract

const Username = Type.String({ minLength: 1, maxLength: 128 })

export const keepMqttAccount = {
  operation: 'broker-proxy.keepMqttAccount',
  summary:
    'See to it that an MQTT user of this name and password is there, with these topics to publish and subscribe and nothing else; one of another tenant is a conflict',
  request: Type.Object({
    tenantId: TenantId,
    username: Username,
    password: Type.String({ minLength: 1, maxLength: 1024 }),
    /** Topic filters. */
    topics: Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { maxItems: 10 })
  }),
  reply: Type.Object({}),
  timeoutMs: 5000
} satisfies RpcContract

export const dropMqttAccount = {
  operation: 'broker-proxy.dropMqttAccount',
  summary:
    'See to it that no MQTT user of this name is there (any more), which ends its connections; one of another tenant stays',
  request: Type.Object({ tenantId: TenantId, username: Username }),
  reply: Type.Object({}),
  timeoutMs: 5000
} satisfies RpcContract
