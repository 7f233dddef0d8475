import { EpochMs, TenantId } from './ids.js'
import type { CommandContract, EventContract, RpcContract, SignalContract } from './messages.js'
import { oneOf, recordOf, type Static, Type } from './schema.js'

const MachineId = Type.String({ minLength: 1, maxLength: 256, description: 'MQTT client id' })

export const publishMessage = {
  subject: 'publish',
  summary:
    'Publish to the MQTT subscribers of a tenant. A topic that is no plain name (wildcards, `$…`, `fleet/…`) is logged and dropped',
  data: Type.Object({
    tenantId: TenantId,
    topic: Type.String({ minLength: 1, maxLength: 1024 }),
    payload: Type.String({ maxLength: 900_000 }),
    qos: oneOf([0, 1, 2])
  })
} satisfies CommandContract
export type PublishMessage = Static<typeof publishMessage.data>

export const machineChanged = {
  subject: 'scheduler.machine.changed',
  summary:
    'Machines were registered, changed or removed, or came or went: how they are now says scheduler.listMachines',
  data: Type.Object({
    tenantId: TenantId,
    mqttClientIds: Type.Array(MachineId, { maxItems: 500 }),
    /** The scheduler's numbers of machines that are gone. */
    removed: Type.Array(Type.Integer(), { default: [], maxItems: 500 }),
    at: EpochMs
  })
} satisfies EventContract

export const listMachines = {
  operation: 'scheduler.listMachines',
  summary:
    'Machines of the fleet: those of a tenant with these MQTT client ids, or all of every tenant in order of `cursor`, page by page',
  request: Type.Object({
    among: Type.Optional(
      Type.Object({ tenantId: TenantId, mqttClientIds: Type.Array(MachineId, { minItems: 1, maxItems: 500 }) })
    ),
    after: Type.String({ default: '' }),
    limit: Type.Integer({ minimum: 1, maximum: 500, default: 500 })
  }),
  reply: Type.Object({
    machines: Type.Array(
      Type.Object({
        tenantId: TenantId,
        /** The scheduler's number of it, never given twice. */
        clientId: Type.Integer(),
        mqttClientId: Type.String(),
        username: Type.String(),
        ip: Type.String(),
        enabled: Type.Boolean(),
        role: Type.String(),
        status: oneOf(['ONLINE', 'OFFLINE']),
        version: Type.Optional(Type.String()),
        /** What it said of itself, and what operators assigned, which wins. */
        attributes: recordOf(Type.String())
      })
    ),
    /** `after` of the next page; absent on the last one. */
    cursor: Type.Optional(Type.String()),
    takenAt: EpochMs
  }),
  timeoutMs: 5000
} satisfies RpcContract
export type Machine = Static<typeof listMachines.reply>['machines'][number]

export const valuesChanged = {
  subject: 'devices.values.changed',
  summary: 'Entities have new values: for open websockets. A value that is too long for a signal is left out',
  data: Type.Object({
    values: Type.Array(
      Type.Object({
        key: Type.String(),
        valueType: Type.String(),
        value: Type.Optional(Type.Unknown()),
        /** When it was measured. */
        at: Type.Number()
      })
    )
  })
} satisfies SignalContract
export type ValuesChanged = Static<typeof valuesChanged.data>
