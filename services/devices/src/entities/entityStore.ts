import { type Bus, type Log, newNumericId, resourceDeleted } from '@fleetgate/kit'
import {
  type AnyBulkWriteOperation,
  createOutbox,
  isDuplicateKey,
  type Page,
  type PageOf,
  pageOf,
  type QueryFilter,
  type Store,
  toConflict
} from '@fleetgate/store'
import type { Reach } from '../grants/reach.js'
import { type OrderedPage, sortOf } from '../order.js'
import type { Attribute, Entity, EntityDraft } from './entity.js'
import { defined, type EntityDoc, entitySchema, toEntity } from './entityDoc.js'
import { type EntitySelection, type EntityWish, filterOf, reachFilter, selectionFilter } from './entityFilter.js'
import { type StoredValue, toBson, type ValueType } from './storedValue.js'

export interface NewLatest {
  id: string
  valueType: ValueType
  value: StoredValue
  at: number
  /** See `Sample`. */
  by?: number | undefined
}

/** A removed entity whose history may still be there. */
export interface RemovedEntity {
  id: string
  tenantId: string
}

export type EntityStore = ReturnType<typeof createEntityStore>

export interface EntityStoreOptions {
  store: Store
  bus: Bus
  log: Log
  now: () => number
}

export function createEntityStore({ store, bus, log, now }: EntityStoreOptions) {
  const model = store.model<EntityDoc>('entities', entitySchema)
  const outbox = createOutbox({ model, bus, log })

  async function page(filter: QueryFilter<EntityDoc>, of: OrderedPage): Promise<PageOf<Entity>> {
    const { items, total } = await pageOf(model.find(filter).sort(sortOf(of)), of)
    return { items: items.map(toEntity), total }
  }

  /** Inserts what is not there, which costs a sixth of upserts, and answers the others. */
  async function insertMissing(drafts: EntityDraft[]): Promise<EntityDraft[]> {
    const there = new Set<string>()
    for (const tenantId of new Set(drafts.map((draft) => draft.tenantId))) {
      const keys = drafts.filter((draft) => draft.tenantId === tenantId).map(({ key }) => key)
      const found = await model.find({ tenantId, key: { $in: keys } }, { _id: 0, key: 1 }).lean()
      for (const { key } of found) there.add(`${tenantId}/${key}`)
    }
    const isThere = ({ tenantId, key }: EntityDraft) => there.has(`${tenantId}/${key}`)
    const missing = drafts.filter((draft) => !isThere(draft))
    if (missing.length === 0) return drafts
    const docs = missing.map((draft) => {
      const made = { _id: newNumericId(now()), createdAt: now(), updatedAt: now() }
      return defined({ ...draft, ...made, attribute: JSON.stringify(draft.attribute) })
    })
    try {
      await model.collection.insertMany(docs as never, { ordered: false })
      return drafts.filter(isThere)
    } catch (error) {
      // Somebody else makes them at the same time.
      if (isDuplicateKey(error)) return drafts
      throw error
    }
  }

  return {
    outbox,
    /** Makes those that are missing; what exists is left as it is, except what its integration decides. */
    async ensure(drafts: EntityDraft[]): Promise<void> {
      const rest = await insertMissing(drafts)
      if (rest.length === 0) return
      const write = () =>
        model.bulkWrite(
          rest.map((draft) => ensureWrite(draft, now())),
          { ordered: false }
        )
      // Of two who make the same one at once, one finds it made the second time; what is still taken is another device's.
      await write().catch((error) => (isDuplicateKey(error) ? write() : Promise.reject(error)))
    },
    async insert(draft: EntityDraft): Promise<Entity> {
      const id = newNumericId(now())
      const made = { ...draft, createdAt: now(), updatedAt: now() }
      await model
        .create({ _id: id, ...made, attribute: JSON.stringify(draft.attribute) })
        .catch((error) => toConflict(error, 'there is an entity of this identifier', { field: 'identifier' }))
      return { id, ...made, tagIds: [] }
    },
    async find(tenantId: string, id: string, reach: Reach): Promise<Entity | undefined> {
      const doc = await model.findOne({ $and: [{ _id: id, tenantId }, reachFilter(reach)] }).lean()
      return doc ? toEntity(doc) : undefined
    },
    async findByIds(tenantId: string, ids: string[], reach: Reach): Promise<Entity[]> {
      const docs = await model.find({ $and: [{ tenantId, _id: { $in: ids } }, reachFilter(reach)] }).lean()
      return docs.map(toEntity)
    },
    async findByKeys(tenantId: string, keys: string[], reach: Reach): Promise<Entity[]> {
      const docs = await model.find({ $and: [{ tenantId, key: { $in: keys } }, reachFilter(reach)] }).lean()
      return docs.map(toEntity)
    },
    /** The ids and keys among these that there are, whoever may see them. */
    async existing(tenantId: string, { ids, keys }: { ids: string[]; keys: string[] }): Promise<Set<string>> {
      const [byId, byKey] = await Promise.all([
        ids.length > 0 ? model.find({ tenantId, _id: { $in: ids } }, { _id: 1 }).lean() : [],
        keys.length > 0 ? model.find({ tenantId, key: { $in: keys } }, { _id: 0, key: 1 }).lean() : []
      ])
      return new Set([...byId.map(({ _id }) => _id), ...byKey.map(({ key }) => key)])
    },
    async countByTag(tenantId: string, tagIds: string[], reach: Reach): Promise<Map<string, number>> {
      if (tagIds.length === 0) return new Map()
      const match = { $and: [{ tenantId, tagIds: { $in: tagIds } }, reachFilter(reach)] }
      const counted = await model.aggregate<{ _id: string; n: number }>([
        { $match: match },
        { $unwind: '$tagIds' },
        { $group: { _id: '$tagIds', n: { $sum: 1 } } }
      ])
      return new Map(counted.map(({ _id, n }) => [_id, n]))
    },
    /** Only where the tags are as they were read; false where some were not. */
    async retag(tenantId: string, changes: { id: string; before: string[]; tagIds: string[] }[]): Promise<boolean> {
      const writes = changes.map(({ id, before, tagIds }): AnyBulkWriteOperation<EntityDoc> => {
        const update = tagIds.length > 0 ? { $set: { tagIds } } : { $unset: { tagIds: 1 as const } }
        const asRead = before.length > 0 ? before : { $in: [null, []] }
        return { updateOne: { filter: { _id: id, tenantId, tagIds: asRead } as QueryFilter<EntityDoc>, update } }
      })
      if (writes.length === 0) return true
      return (await model.bulkWrite(writes, { ordered: false })).matchedCount === writes.length
    },
    async dropTags(tenantId: string, tagIds: string[]): Promise<void> {
      await model.updateMany({ tenantId, tagIds: { $in: tagIds } }, { $pull: { tagIds: { $in: tagIds } } })
    },
    async parentKeysWhere(tenantId: string, filter: QueryFilter<EntityDoc>, limit: number): Promise<string[]> {
      const isParent = { tenantId, valueType: 'OBJECT' as const }
      const found = model.find({ $and: [isParent, filter] }, { _id: 0, key: 1 })
      return (await found.limit(limit).lean()).map(({ key }) => key)
    },
    /** Children of these, parent by parent in the order they were made in. */
    async childrenOf(tenantId: string, parentKeys: string[], reach: Reach): Promise<Entity[]> {
      const filter = { $and: [{ tenantId, parentKey: { $in: parentKeys } }, reachFilter(reach)] }
      const docs = await model.find(filter).sort({ parentKey: 1, createdAt: 1, _id: 1 }).limit(maxRelated).lean()
      return docs.map(toEntity)
    },
    /** All of one device or of one integration itself, parents before their children. */
    async listOf(tenantId: string, of: { deviceId: string } | { integration: string }): Promise<Entity[]> {
      const filter = 'deviceId' in of ? of : { ...of, deviceId: { $exists: false } }
      const docs = await model
        .find({ tenantId, ...filter })
        .sort({ createdAt: 1, _id: 1 })
        .limit(maxRelated)
        .lean()
      return docs.map(toEntity)
    },
    search: (tenantId: string, wish: EntityWish, of: OrderedPage) => page(filterOf(tenantId, wish), of),
    select: (tenantId: string, selection: EntitySelection, of: Page) => page(selectionFilter(tenantId, selection), of),
    count: (tenantId: string, integration: string): Promise<number> => model.countDocuments({ tenantId, integration }),
    async update(tenantId: string, id: string, change: { name: string; attribute?: Attribute }): Promise<void> {
      const { name, attribute } = change
      const own = attribute ? { attribute: JSON.stringify(attribute) } : {}
      await model.updateOne({ _id: id, tenantId }, { $set: { name, ...own, updatedAt: now() } })
    },
    async renameDevice(tenantId: string, deviceId: string, deviceName: string): Promise<void> {
      await model.updateMany({ tenantId, deviceId, deviceName: { $ne: deviceName } }, { $set: { deviceName } })
    },
    /**
     * Takes each where it is newer than what is there, or of the same moment and brought later: late samples change nothing. The condition stands in the update, as a
     * filter by `_id` alone costs the database a third less than one with further conditions.
     */
    async setLatest(tenantId: string, values: NewLatest[]): Promise<void> {
      const writes = values.map(({ id, valueType, value, at, by }) => {
        const isNewer = { $and: [{ $eq: ['$tenantId', tenantId] }, isOlderThan(at, by)] }
        const latest = { value: { $literal: toBson(valueType, value) }, at, ...(by === undefined ? {} : { by }) }
        const update = [{ $set: { latest: { $cond: [isNewer, latest, '$latest'] } } }]
        return { updateOne: { filter: { _id: id }, update } }
      })
      // The driver's own: mongoose would look into the values.
      if (writes.length > 0) await model.collection.bulkWrite(writes as never, { ordered: false })
    },
    /** They are gone at once; their history goes with `listRemoved`. */
    async remove(tenantId: string, ids: string[]): Promise<void> {
      const writes = ids.map((id): AnyBulkWriteOperation<EntityDoc> => {
        const entry = outbox.entry(resourceDeleted, { tenantId, resource: { id, type: 'ENTITY' }, at: now() })
        const gone = { tenantId: '', formerTenantId: tenantId, key: id, removedAt: now() }
        const update = { $set: gone, $unset: { latest: 1, parentKey: 1 } as const, $push: { outbox: entry } }
        return { updateOne: { filter: { _id: id, tenantId }, update } }
      })
      if (writes.length === 0) return
      await model.bulkWrite(writes, { ordered: false })
      void outbox.flush(ids)
    },
    async listRemoved(limit: number, after = ''): Promise<RemovedEntity[]> {
      const filter: QueryFilter<EntityDoc> = { tenantId: '', _id: { $gt: after } }
      const docs = await model.find(filter).select('formerTenantId').sort({ _id: 1 }).limit(limit).lean()
      return docs.map(({ _id, formerTenantId = '' }) => ({ id: _id, tenantId: formerTenantId }))
    },
    /** Drops what was removed before then and is known to everybody. */
    async purge(ids: string[], removedBefore: number): Promise<void> {
      const isOld = { removedAt: { $lt: removedBefore }, outbox: { $size: 0 } }
      await model.deleteMany({ _id: { $in: ids }, tenantId: '', ...isOld })
    }
  }
}

/** Whether the latest value there is, if any, is of before. */
function isOlderThan(at: number, by: number | undefined) {
  const isEarlier = { $not: [{ $gte: ['$latest.at', at] }] }
  if (by === undefined) return isEarlier
  const isReplaced = { $and: [{ $eq: ['$latest.at', at] }, { $not: [{ $gte: ['$latest.by', by] }] }] }
  return { $or: [isEarlier, isReplaced] }
}

/** A device or integration of more entities than this is a mistake. */
const maxRelated = 5000

function ensureWrite(draft: EntityDraft, now: number): AnyBulkWriteOperation<EntityDoc> {
  const { tenantId, key, name, type, valueType, attribute, deviceId, deviceName, userId, parentKey, ...own } = draft
  // Its values are of the type that it was made with: those of another one could not be read.
  const what = { type, valueType, name, deviceName, userId, parentKey }
  const made = { _id: newNumericId(now), ...what, createdAt: now, updatedAt: now }
  return {
    updateOne: {
      filter: { tenantId, key, deviceId: deviceId ?? { $exists: false } },
      update: {
        $set: defined({ ...own, attribute: JSON.stringify(attribute) }),
        $setOnInsert: defined(made)
      },
      upsert: true
    }
  }
}
