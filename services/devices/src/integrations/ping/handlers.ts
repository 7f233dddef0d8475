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

interface Answer {
  asked: number
  reached: number
}

/** Values of `detect_status`, as the manifest names them. */
const [standby, detecting] = [0, 1]
/** Machines asked at the same time. */
const atOnce = 20

export function createHandlers(tools: IntegrationTools): Handlers {
  const running = new Map<string, Promise<Answer>>()

  async function askAll(tenantId: string): Promise<Answer> {
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

  function detect(tenantId: string): Promise<Answer> {
    const state = { entity: 'detect_status', value: detecting, otherwise: standby }
    return tools.during(tenantId, state, () => askAll(tenantId))
  }

  return {
    addDevice(_name, { ip }): DeviceBlueprint {
      if (typeof ip !== 'string' || isIP(ip) === 0) {
        throw new AppError('invalid_input', 'ip is not an IP address', { field: 'ip' })
      }
      return { identifier: ip.replaceAll('.', '_'), additionalData: { ip }, entities }
    },

    /** Whoever calls while the machines of the tenant are being asked gets the same answer: each question is a process. */
    async call({ tenantId }) {
      const asking = running.get(tenantId) ?? detect(tenantId).finally(() => running.delete(tenantId))
      running.set(tenantId, asking)
      return { ...(await asking) }
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
