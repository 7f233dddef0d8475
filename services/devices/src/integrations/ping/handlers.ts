import { isIP } from 'node:net'
import { AppError } from '@fleetgate/kit'
import type { EntityTemplate } from '../../entities/entityKeys.js'
import type { DeviceBlueprint, Handlers, IntegrationDevice, IntegrationTools, Reading } from '../manifest.js'
import { probe } from './probe.js'

const entities: EntityTemplate[] = [
  {
    identifier: 'status',
    name: 'Status',
    type: 'PROPERTY',
    accessMod: 'R',
    valueType: 'LONG',
    attribute: { enum: { 0: 'ONLINE', 1: 'OFFLINE' } }
  },
  {
    identifier: 'delay',
    name: 'Delay',
    type: 'PROPERTY',
    accessMod: 'R',
    valueType: 'LONG',
    attribute: { unit: 'ms', optional: true }
  }
]

/** Machines asked at the same time. */
const atOnce = 20

export function createHandlers(tools: IntegrationTools): Handlers {
  return {
    addDevice(_name, { ip }): DeviceBlueprint {
      if (typeof ip !== 'string' || isIP(ip) === 0) {
        throw new AppError('invalid_input', 'ip is not an IP address', { field: 'ip' })
      }
      return { identifier: ip.replaceAll('.', '_'), additionalData: { ip }, entities }
    },

    async call({ tenantId }) {
      let asked = 0
      let reached = 0
      let batch: IntegrationDevice[] = []
      const askBatch = async () => {
        const readings = (await Promise.all(batch.map(readingsOf))).flat()
        await tools.report(tenantId, readings)
        asked += batch.length
        reached += readings.filter(({ entity }) => entity === 'delay').length
        batch = []
      }
      for await (const device of tools.listDevices(tenantId)) {
        batch.push(device)
        if (batch.length === atOnce) await askBatch()
      }
      if (batch.length > 0) await askBatch()
      return { asked, reached }
    }
  }
}

/** A machine that is silent has no delay. */
async function readingsOf({ identifier: device, additionalData }: IntegrationDevice): Promise<Reading[]> {
  const delay = await probe(String(additionalData.ip))
  if (delay === undefined) return [{ device, entity: 'status', value: 1 }]
  return [
    { device, entity: 'status', value: 0 },
    { device, entity: 'delay', value: delay }
  ]
}
