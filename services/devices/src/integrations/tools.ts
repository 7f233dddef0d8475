import { AppError, type Bus, type Log, publishMessage } from '@fleetgate/kit'
import type { DeviceStore } from '../devices/deviceStore.js'
import { deviceKey, integrationKey } from '../entities/entityKeys.js'
import type { EntityStore } from '../entities/entityStore.js'
import { commitMeasured } from '../entities/ingest.js'
import type { Recorder } from '../entities/recorder.js'
import { wholeReach } from '../grants/reach.js'
import type { TemplateStore } from '../templates/templateStore.js'
import type { Hooks } from '../workflows/hooks.js'
import type { Claims } from './claims.js'
import type { IntegrationTools } from './manifest.js'

export interface ToolsOptions {
  devices: Pick<DeviceStore, 'each' | 'find'>
  templates: Pick<TemplateStore, 'find'>
  bus: Pick<Bus, 'command'>
  entities: EntityStore
  recorder: Recorder
  workflows: Pick<Hooks, 'call'>
  claims: Pick<Claims, 'during'>
  log: Log
  now: () => number
}

const maxPayload = publishMessage.data.properties.payload.maxLength ?? 0

/** What an integration may do, within its own devices. */
export function createTools({
  devices,
  templates,
  bus,
  workflows,
  claims,
  log,
  ...parts
}: ToolsOptions): (integration: string) => IntegrationTools {
  return (integration) => ({
    callWorkflow: workflows.call,
    listDevices: (tenantId) => devices.each(tenantId, integration),

    async findDevice(tenantId, id) {
      const device = await devices.find(tenantId, id, wholeReach)
      return device?.integration === integration ? device : undefined
    },

    findTemplate: (tenantId, id) => templates.find(tenantId, id),

    async publish(tenantId, topic, payload) {
      if (payload.length > maxPayload) {
        throw new AppError('invalid_input', `more than ${maxPayload} characters cannot be sent to a device`)
      }
      await bus.command(publishMessage, { tenantId, topic, payload, qos: 1 })
    },

    during: (tenantId, { entity, value, otherwise }, work) =>
      claims.during(tenantId, { key: integrationKey(integration, entity), value, otherwise }, work),

    async report(tenantId, readings) {
      const measured = readings.map(({ device, entity, value }) => ({
        key: device === undefined ? integrationKey(integration, entity) : `${deviceKey(integration, device)}.${entity}`,
        value
      }))
      const refused = await commitMeasured(parts, tenantId, measured)
      if (refused.length > 0) log.warn({ integration, refused: refused.slice(0, 5) }, 'readings not taken')
    }
  })
}
