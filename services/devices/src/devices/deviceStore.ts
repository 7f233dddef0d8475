import { type Bus, type Log, resourceDeleted } from '@fleetgate/kit'
import {
  createOutbox,
  isDuplicateKey,
  type Page,
  type PageOf,
  pageOf,
  type QueryFilter,
  type Store,
  toConflict
} from '@fleetgate/store'
import { defined } from '../entities/entityDoc.js'
import type { EntityTemplate } from '../entities/entityKeys.js'
import type { Reach } from '../grants/reach.js'
import { type OrderedPage, sortOf } from '../order.js'
import type { Device } from './device.js'
import { type DeviceDoc, deviceSchema, toDevice } from './deviceDoc.js'
import { type DeviceSelection, type DeviceWish, reachFilter, selectionFilter, wishFilter } from './deviceFilter.js'

/** A device whose entities must follow it. */
export interface Unsettled {
  id: string
  tenantId: string
  revision: number
  removedAt: number | undefined
  device: Device
  blueprint: EntityTemplate[]
}

/** As much of a device as tells whether it should be there. */
export type DeviceMark = Pick<Device, 'id' | 'tenantId' | 'key' | 'createdAt'>

export type DeviceStore = ReturnType<typeof createDeviceStore>

export interface DeviceStoreOptions {
  store: Store
  bus: Bus
  log: Log
  now: () => number
}

export function createDeviceStore({ store, bus, log, now }: DeviceStoreOptions) {
  const model = store.model<DeviceDoc>('devices', deviceSchema)
  const outbox = createOutbox({ model, bus, log })

  async function page(filter: QueryFilter<DeviceDoc>, of: OrderedPage): Promise<PageOf<Device>> {
    const { items, total } = await pageOf(model.find(filter).sort(sortOf(of)), of)
    return { items: items.map(toDevice), total }
  }

  return {
    outbox,
    /** With the entities that `settled` will find made. */
    async insert({ id, additionalData, ...rest }: Device, blueprint: EntityTemplate[]): Promise<void> {
      const waiting = { blueprint: JSON.stringify(blueprint), unsettledSince: now(), revision: 0 }
      await model
        .create({ _id: id, ...defined(rest), additionalData: JSON.stringify(additionalData), ...waiting })
        .catch((error) => toConflict(error, 'there is such a device already', { field: 'identifier' }))
    },
    /** Those that nobody else made meanwhile; each waits for its entities. */
    async insertMany(devices: Device[], blueprint: EntityTemplate[]): Promise<void> {
      const waiting = { blueprint: JSON.stringify(blueprint), unsettledSince: now(), revision: 0 }
      const docs = devices.map(({ id, additionalData, ...rest }) => {
        return { _id: id, ...defined(rest), additionalData: JSON.stringify(additionalData), ...waiting }
      })
      await model
        .insertMany(docs, { ordered: false })
        .catch((error) => (isDuplicateKey(error) ? undefined : Promise.reject(error)))
    },
    /** They have the entities that they were inserted with; those that changed meanwhile wait on. */
    async settledMany(ids: string[]): Promise<void> {
      const update = { $unset: { unsettledSince: 1, blueprint: 1 } as const }
      await model.updateMany({ _id: { $in: ids }, revision: 0, tenantId: { $ne: '' } }, update)
    },
    /** Of one integration, in all tenants, in order of their ids. */
    async listOfAll(integration: string, after: string, limit: number): Promise<DeviceMark[]> {
      const found = model
        .find({ integration, _id: { $gt: after } })
        .sort({ _id: 1 })
        .limit(limit)
      const docs = await found.select('tenantId key createdAt').lean()
      return docs.map(({ _id: id, tenantId, key, createdAt }) => ({ id, tenantId, key, createdAt }))
    },
    async find(tenantId: string, id: string, reach: Reach): Promise<Device | undefined> {
      const doc = await model.findOne({ $and: [{ _id: id, tenantId }, reachFilter(reach)] }).lean()
      return doc ? toDevice(doc) : undefined
    },
    async findMany(tenantId: string, ids: string[], reach: Reach): Promise<Device[]> {
      const docs = await model.find({ $and: [{ _id: { $in: ids }, tenantId }, reachFilter(reach)] }).lean()
      return docs.map(toDevice)
    },
    /** Each with whether it waits for its entities. */
    async findByKeys(tenantId: string, keys: string[]): Promise<{ device: Device; isUnsettled: boolean }[]> {
      const docs = await model.find({ tenantId, key: { $in: keys } }).lean()
      return docs.map((doc) => ({ device: toDevice(doc), isUnsettled: doc.unsettledSince !== undefined }))
    },
    /** What devices that are settled were last made from, by their keys. */
    async madeFrom(tenantId: string, keys: string[]): Promise<Map<string, string | undefined>> {
      const filter = { tenantId, key: { $in: keys }, unsettledSince: { $exists: false } }
      const docs = await model.find(filter).select('-_id key madeFrom').lean()
      return new Map(docs.map(({ key, madeFrom }) => [key, madeFrom]))
    },
    async noteMadeFrom(tenantId: string, digests: ReadonlyMap<string, string>): Promise<void> {
      if (digests.size === 0) return
      const notes = [...digests].map(([key, madeFrom]) => {
        return { updateOne: { filter: { tenantId, key }, update: { $set: { madeFrom } } } }
      })
      await model.collection.bulkWrite(notes as never, { ordered: false })
    },
    countOfTemplate: (tenantId: string, template: string): Promise<number> =>
      model.countDocuments({ tenantId, template }),
    /** Devices of a template, or one of them, get these entities when they are settled. */
    async reblueprint(tenantId: string, template: string, blueprint: EntityTemplate[], id?: string): Promise<void> {
      const $set = { blueprint: JSON.stringify(blueprint), unsettledSince: now() }
      await model.updateMany({ tenantId, template, ...(id ? { _id: id } : {}) }, { $set, $inc: { revision: 1 } })
    },
    async *idsOfTemplate(tenantId: string, template: string): AsyncGenerator<string> {
      for await (const { _id } of model.find({ tenantId, template }).select('_id').lean().cursor()) yield _id
    },
    search: (tenantId: string, wish: DeviceWish, of: OrderedPage) => page(wishFilter(tenantId, wish), of),
    select: (tenantId: string, selection: DeviceSelection, of: Page) => page(selectionFilter(tenantId, selection), of),
    count: (tenantId: string, integration: string): Promise<number> => model.countDocuments({ tenantId, integration }),
    /** Of one integration, oldest first. */
    async *each(tenantId: string, integration: string): AsyncGenerator<Device> {
      for await (const doc of model.find({ tenantId, integration }).sort({ createdAt: 1, _id: 1 }).lean().cursor()) {
        yield toDevice(doc)
      }
    },
    /** False where it is not there (any more). */
    async rename(tenantId: string, id: string, name: string): Promise<boolean> {
      const result = await model.updateOne(
        { _id: id, tenantId },
        { $set: { name, updatedAt: now(), unsettledSince: now() }, $inc: { revision: 1 } }
      )
      return result.matchedCount === 1
    },
    async countByGroup(tenantId: string, groupIds: string[], reach: Reach): Promise<Map<string, number>> {
      if (groupIds.length === 0) return new Map()
      const match = { $and: [{ tenantId, groupId: { $in: groupIds } }, reachFilter(reach)] }
      const counted = await model.aggregate<{ _id: string; n: number }>([
        { $match: match },
        { $group: { _id: '$groupId', n: { $sum: 1 } } }
      ])
      return new Map(counted.map(({ _id, n }) => [_id, n]))
    },
    async moveToGroup(tenantId: string, ids: string[], groupId: string | undefined, reach: Reach): Promise<void> {
      const update = groupId === undefined ? { $unset: { groupId: 1 } as const } : { $set: { groupId } }
      await model.updateMany({ $and: [{ tenantId, _id: { $in: ids } }, reachFilter(reach)] }, update)
    },
    async leaveGroups(tenantId: string, groupIds: string[]): Promise<void> {
      await model.updateMany({ tenantId, groupId: { $in: groupIds } }, { $unset: { groupId: 1 } })
    },
    /** At most so many of them. */
    async idsIn(tenantId: string, groupIds: string[], limit: number): Promise<string[]> {
      const found = model.find({ tenantId, groupId: { $in: groupIds } }, { _id: 1 })
      return (await found.limit(limit).lean()).map(({ _id }) => _id)
    },
    async remove(tenantId: string, id: string): Promise<void> {
      const entry = outbox.entry(resourceDeleted, { tenantId, resource: { id, type: 'DEVICE' }, at: now() })
      const gone = { tenantId: '', formerTenantId: tenantId, key: id, removedAt: now(), unsettledSince: now() }
      await model.updateOne(
        { _id: id, tenantId },
        { $set: gone, $unset: { blueprint: 1 }, $inc: { revision: 1 }, $push: { outbox: entry } }
      )
      void outbox.flush([id])
    },
    /** Those that wait since before then, the longest first; of one id where it is given. */
    async listUnsettled(before: number, limit: number, id?: string): Promise<Unsettled[]> {
      const docs = await model
        .find({ unsettledSince: { $lte: before }, ...(id ? { _id: id } : {}) })
        .sort({ unsettledSince: 1 })
        .limit(limit)
        .lean()
      return docs.map(toUnsettled)
    },
    /**
     * Where the device changed meanwhile it is settled once more: whoever was at the newer one may be done with it before the
     * older one was written over it. A removed one comes again after `keepMs`.
     */
    async settled({ id, revision, removedAt }: Unsettled, keepMs: number): Promise<void> {
      const again = removedAt === undefined ? 0 : removedAt + keepMs
      const isDone = again <= now()
      const update = isDone
        ? { $unset: { unsettledSince: 1, blueprint: 1 } as const }
        : { $set: { unsettledSince: again } }
      const { matchedCount } = await model.updateOne({ _id: id, revision }, update)
      if (matchedCount > 0) return
      await model.updateOne({ _id: id }, { $set: { unsettledSince: now() }, $inc: { revision: 1 } })
    },
    async postpone({ id, revision }: Unsettled): Promise<void> {
      await model.updateOne({ _id: id, revision }, { $set: { unsettledSince: now() } })
    },
    /** Drops what was removed, is settled, and is known to everybody. */
    async purge(): Promise<void> {
      await model.deleteMany({ tenantId: '', unsettledSince: { $exists: false }, outbox: { $size: 0 } })
    }
  }
}

function toUnsettled(doc: DeviceDoc): Unsettled {
  const isRemoved = doc.tenantId === ''
  const blueprint = doc.blueprint ? (JSON.parse(doc.blueprint) as EntityTemplate[]) : []
  const tenantId = isRemoved ? (doc.formerTenantId ?? '') : doc.tenantId
  return { id: doc._id, tenantId, revision: doc.revision, removedAt: doc.removedAt, device: toDevice(doc), blueprint }
}
