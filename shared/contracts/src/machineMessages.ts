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
