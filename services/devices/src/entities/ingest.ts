import { setImmediate } from 'node:timers/promises'
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
/** Others get their turn after so long: patterns of people may be slow. */
const turnMs = 20

/** Values that people or programs bring, many at once. */
export function createIngest({ reachOf, ...parts }: IngestOptions) {
  return {
    /**
     * All or nothing: what is refused is named, and then none is kept. Of several values of one entity at one moment the last one counts, in
     * one request and of two. `repeated` are those that changed nothing.
     */
    async ingest(measured: Measured[], caller: Caller): Promise<{ stored: number; repeated: number }> {
      const { tenantId } = caller
      const { recorder } = parts
      const check = createCheck(parts, { tenantId, reach: await reachOf(caller) })
      const { taken, refused } = await check(stamped(measured, recorder.stamp))
      if (refused.length > 0) throw refusal(refused)
      const samples = lastOfEachMoment(taken)
      const stored = samples.length - (await recorder.commit({ tenantId, samples, by: recorder.stamp() }))
      return { stored, repeated: taken.length - stored }
    }
  }
}

function lastOfEachMoment(samples: Measurement[]): Measurement[] {
  return [...new Map(samples.map((one) => [`${one.entityId}/${one.at}`, one])).values()]
}

/** Those without a time of their own are of one moment, but further ones of the same entity: they are no repeats. */
function stamped(measured: Measured[], stamp: () => number): Measured[] {
  const moments: number[] = []
  const counts = new Map<string, number>()
  return measured.map((one) => {
    if (one.at !== undefined) return one
    const name = one.id ?? one.key ?? ''
    const count = counts.get(name) ?? 0
    counts.set(name, count + 1)
    moments[count] ??= stamp()
    return { ...one, at: moments[count] }
  })
}

/** Values that devices sent: keeps what is good and answers what is not, because devices cannot be asked again. */
export async function reportMeasured(parts: IngestParts, tenantId: string, measured: Measured[]): Promise<Refused[]> {
  const { taken, refused } = await createCheck(parts, { tenantId, reach: wholeReach })(measured)
  await parts.recorder.record(tenantId, taken)
  return refused
}

/** The same for those who do not come again after a crash. */
export async function commitMeasured(parts: IngestParts, tenantId: string, measured: Measured[]): Promise<Refused[]> {
  const { taken, refused } = await createCheck(parts, { tenantId, reach: wholeReach })(measured)
  await parts.recorder.commit({ tenantId, samples: taken })
  return refused
}

export interface Checked {
  taken: Measurement[]
  refused: Refused[]
}

/** Holds values against their entities. For one batch of them: an entity that it has met is not looked up again. */
export function createCheck(
  { entities, now }: Pick<IngestParts, 'entities' | 'now'>,
  { tenantId, reach }: { tenantId: string; reach: Reach }
): (measured: Measured[]) => Promise<Checked> {
  const byId = new Map<string, Entity | undefined>()
  const byKey = new Map<string, Entity | undefined>()

  async function meet(measured: Measured[]): Promise<void> {
    const ids = unknown(byId, measured, ({ id }) => id)
    const keys = unknown(byKey, measured, ({ id, key }) => (id === undefined ? (key ?? '') : undefined))
    const [named, keyed] = await Promise.all([
      ids.length > 0 ? entities.findByIds(tenantId, ids, reach) : [],
      keys.length > 0 ? entities.findByKeys(tenantId, keys, reach) : []
    ])
    for (const entity of named) byId.set(entity.id, entity)
    for (const entity of keyed) byKey.set(entity.key, entity)
  }

  return async (measured) => {
    await meet(measured)
    const at = now()
    const taken: Measurement[] = []
    const refused: Refused[] = []
    let begun = performance.now()
    for (const [index, one] of measured.entries()) {
      if (performance.now() - begun > turnMs) {
        await setImmediate()
        begun = performance.now()
      }
      const { id, key } = one
      const found = checkOne(id === undefined ? byKey.get(key ?? '') : byId.get(id), one, at)
      if (found && 'reason' in found) refused.push({ index, reason: found.reason })
      else if (found) taken.push(found)
    }
    return { taken, refused }
  }
}

/** Those that were not asked for yet; from now on they were. */
function unknown(
  known: Map<string, Entity | undefined>,
  measured: Measured[],
  nameOf: (one: Measured) => string | undefined
): string[] {
  const names: string[] = []
  for (const one of measured) {
    const name = nameOf(one)
    if (name === undefined || known.has(name)) continue
    known.set(name, undefined)
    names.push(name)
  }
  return names
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
