import { AppError, type Caller } from '@fleetgate/kit'
import type { Reach, ReachOf } from '../grants/reach.js'
import type { Call, Write } from '../integrations/manifest.js'
import type { Registry } from '../integrations/registry.js'
import { type Entity, isWritable } from './entity.js'
import type { EntityStore } from './entityStore.js'
import { type Exchange, expand, type Filled } from './exchange.js'
import { type Measurement, measurementOf } from './measurement.js'
import type { Recorder } from './recorder.js'
import { checkValue } from './valueRules.js'

export type Values = ReturnType<typeof createValues>

export interface ValuesOptions {
  entities: EntityStore
  recorder: Recorder
  registry: Registry
  reachOf: ReachOf
  /** Hears of services that were called without a value: of all others the values tell. */
  tellCalled: (tenantId: string, keys: string[], at: number) => Promise<void>
}

export function createValues({ entities, recorder, registry, reachOf, tellCalled }: ValuesOptions) {
  /** The named entities with their parents and children; what is out of reach is not there. */
  async function related(exchange: Exchange, tenantId: string, reach: Reach): Promise<Entity[]> {
    const named = await entities.findByKeys(tenantId, Object.keys(exchange), reach)
    const parentKeys = new Set(named.map(({ key, parentKey }) => parentKey ?? key))
    const parents = await entities.findByKeys(tenantId, [...parentKeys], reach)
    const children = await entities.childrenOf(tenantId, [...parentKeys], reach)
    return [...new Map([...named, ...parents, ...children].map((entity) => [entity.id, entity])).values()]
  }

  return {
    async get(id: string, caller: Caller): Promise<Entity> {
      const entity = await entities.find(caller.tenantId, id, await reachOf(caller))
      if (!entity) throw new AppError('not_found', 'there is no such entity')
      return entity
    },

    /** Those of the ids that are there, in no order. */
    async list(ids: string[], caller: Caller): Promise<Entity[]> {
      return entities.findByIds(caller.tenantId, ids, await reachOf(caller))
    },

    /** Keys that do not exist, are out of reach or may not be written are passed over, but one must remain. */
    async updateProperties(exchange: Exchange, caller: Caller): Promise<void> {
      const { tenantId } = caller
      const known = await related(exchange, tenantId, await reachOf(caller))
      const filled = expand(exchange, known.filter(isWritable))
      if (filled.length === 0) throw new AppError('invalid_input', 'exchange names no property that can be written')
      const at = recorder.stamp()
      const told: Measurement[] = []
      try {
        for (const { integration, samples, ...write } of writesOf(tenantId, filled, at)) {
          await registry.find(integration)?.handlers.write?.(write)
          told.push(...samples)
        }
      } finally {
        // What one device was told is kept, also where the next one cannot be told.
        await recorder.commit({ tenantId, samples: told })
      }
    },

    /** Calls each service that is named, itself or by its children, and merges what they answer. */
    async callServices(exchange: Exchange, caller: Caller): Promise<Record<string, unknown>> {
      const { tenantId } = caller
      const known = await related(exchange, tenantId, await reachOf(caller))
      const calls = callsOf(
        exchange,
        known.filter((entity) => isCallable(entity, registry))
      )
      if (calls.length === 0) throw new AppError('invalid_input', 'exchange names no service that can be called')
      const at = recorder.stamp()
      const samples = calls.flatMap(({ filled }) => filled.flatMap((one) => sampleOf(one, at) ?? []))
      await recorder.commit({ tenantId, samples })
      const told = new Set(samples.map(({ key, parentKey }) => parentKey ?? key))
      const untold = calls.map(({ service }) => service.key).filter((key) => !told.has(key))
      if (untold.length > 0) await tellCalled(tenantId, untold, at)
      let answer: Record<string, unknown> = {}
      for (const { service, filled } of calls) {
        const { handlers } = registry.find(service.integration) ?? {}
        answer = { ...answer, ...(await handlers?.call?.(toCall(service, filled))) }
      }
      return answer
    }
  }
}

/** What is wrong with a value stops all before any is kept; nothing for an optional one that is null. */
function sampleOf({ entity, value }: Filled, at: number): Measurement | undefined {
  const measured = measurementOf(entity, value, at)
  if (measured && 'reason' in measured) {
    throw new AppError('invalid_input', `${entity.key} ${measured.reason}`, { field: entity.key })
  }
  return measured
}

interface ServiceCall {
  service: Entity
  filled: Filled[]
}

interface DeviceWrite extends Write {
  integration: string
  samples: Measurement[]
}

/** One for each device, and one for each integration itself; what is wrong with a value stops all before any is written. */
function writesOf(tenantId: string, filled: Filled[], at: number): DeviceWrite[] {
  const writes = new Map<string, DeviceWrite>()
  for (const one of filled) {
    const { integration, deviceId, key } = one.entity
    const place = deviceId ?? integration
    const write = writes.get(place) ?? { tenantId, integration, deviceId, values: {}, samples: [] }
    const sample = sampleOf(one, at)
    if (sample) {
      write.values[lastPart(key)] = sample.value
      write.samples.push(sample)
    }
    writes.set(place, write)
  }
  return [...writes.values()]
}

/** Of a service that is called every child counts: one that is not named must be optional. */
function callsOf(exchange: Exchange, services: Entity[]): ServiceCall[] {
  const named = expand(exchange, services)
  const isNamed = new Set(named.map(({ entity }) => entity.parentKey ?? entity.key))
  for (const { key } of services) if (Object.hasOwn(exchange, key)) isNamed.add(key)
  const parents = services.filter(({ key, parentKey }) => parentKey === undefined && isNamed.has(key))
  return parents.map((service) => {
    const own = services.filter(({ parentKey }) => parentKey === service.key)
    const given = new Map(named.map(({ entity, value }) => [entity.id, value]))
    const takers = service.valueType === 'OBJECT' ? own : [service]
    return { service, filled: takers.map((entity) => ({ entity, value: given.get(entity.id) })) }
  })
}

/** Devices are added and deleted by their own routes. */
function isCallable({ type, key, parentKey, integration }: Entity, registry: Registry): boolean {
  const manifest = registry.find(integration)?.manifest
  if (type !== 'SERVICE' || !manifest) return false
  const service = (parentKey ?? key).split('.').at(-1)
  const isOwn = (parentKey ?? key).split('.')[1] === 'integration'
  return !isOwn || (service !== manifest.addDevice && service !== manifest.deleteDevice)
}

function toCall(service: Entity, filled: Filled[]): Call {
  const params: Call['params'] = {}
  for (const { entity, value } of filled) {
    const checked = checkValue(entity, value)
    if (!('reason' in checked) && checked.value !== undefined) params[lastPart(entity.key)] = checked.value
  }
  return { tenantId: service.tenantId, service: lastPart(service.key), deviceId: service.deviceId, params }
}

function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('.') + 1)
}
