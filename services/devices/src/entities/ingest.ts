import { AppError, type Caller } from '@fleetgate/kit'
import { type Reach, type ReachOf, wholeReach } from '../grants/reach.js'
import type { Entity } from './entity.js'
import type { EntityStore } from './entityStore.js'
import { type Measurement, measurementOf } from './measurement.js'
import type { Recorder } from './recorder.js'

/** One value from outside: of the entity with this id, or this key. */
export interface Measured {
  id?: string | undefined
  key?: string | undefined
  value: unknown
  /** Epoch ms; now where it is not given. */
  at?: number | undefined
}

export interface Refused {
  index: number
  reason: string
}

export type Ingest = ReturnType<typeof createIngest>

export interface IngestParts {
  entities: Pick<EntityStore, 'findByIds' | 'findByKeys'>
  recorder: Recorder
  now: () => number
}

export interface IngestOptions extends IngestParts {
  reachOf: ReachOf
}

/** A clock that runs ahead by more would hide every later value of its entity. */
const maxAheadMs = 24 * 60 * 60 * 1000
const maxNamed = 5

/** Values that people or programs bring, many at once. */
export function createIngest({ reachOf, ...parts }: IngestOptions) {
  return {
    /** All or nothing: what is refused is named, and then none is kept. */
    async ingest(measured: Measured[], caller: Caller): Promise<{ stored: number; repeated: number }> {
      const { tenantId } = caller
      const { taken, refused } = await check(parts, { tenantId, measured, reach: await reachOf(caller) })
      if (refused.length > 0) throw refusal(refused)
      const repeated = await parts.recorder.record(tenantId, taken)
      return { stored: taken.length - repeated, repeated }
    }
  }
}

/** Values that devices sent: keeps what is good and answers what is not, because devices cannot be asked again. */
export async function reportMeasured(parts: IngestParts, tenantId: string, measured: Measured[]): Promise<Refused[]> {
  const { taken, refused } = await check(parts, { tenantId, measured, reach: wholeReach })
  await parts.recorder.record(tenantId, taken)
  return refused
}

interface Batch {
  tenantId: string
  measured: Measured[]
  reach: Reach
}

async function check({ entities, now }: IngestParts, batch: Batch) {
  const find = await finder(entities, batch)
  const at = now()
  const taken: Measurement[] = []
  const refused: Refused[] = []
  for (const [index, one] of batch.measured.entries()) {
    const found = checkOne(find(one), one, at)
    if (found && 'reason' in found) refused.push({ index, reason: found.reason })
    else if (found) taken.push(found)
  }
  return { taken, refused }
}

async function finder(
  entities: IngestParts['entities'],
  { tenantId, measured, reach }: Batch
): Promise<(one: Measured) => Entity | undefined> {
  const ids = [...new Set(measured.flatMap(({ id }) => id ?? []))]
  const keys = [...new Set(measured.flatMap(({ id, key }) => (id === undefined ? (key ?? []) : [])))]
  const [named, keyed] = await Promise.all([
    ids.length > 0 ? entities.findByIds(tenantId, ids, reach) : [],
    keys.length > 0 ? entities.findByKeys(tenantId, keys, reach) : []
  ])
  const byId = new Map(named.map((entity) => [entity.id, entity]))
  const byKey = new Map(keyed.map((entity) => [entity.key, entity]))
  return ({ id, key }) => (id === undefined ? byKey.get(key ?? '') : byId.get(id))
}

function checkOne(entity: Entity | undefined, { value, at }: Measured, now: number) {
  if (!entity) return { reason: 'names no entity' }
  if (entity.type === 'SERVICE') return { reason: 'names a service: those are called' }
  if (at !== undefined && at > now + maxAheadMs) return { reason: 'has a timestamp in the future' }
  return measurementOf(entity, value, at ?? now)
}

function refusal(refused: Refused[]): AppError {
  const named = refused.slice(0, maxNamed).map(({ index, reason }) => `samples.${index} ${reason}`)
  const rest = refused.length > maxNamed ? [`and ${refused.length - maxNamed} more`] : []
  return new AppError('invalid_input', [...named, ...rest].join('; '), { field: `samples.${refused[0]?.index}` })
}
