import { type Counters, containsPattern, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { type QueryFilter, Schema } from 'mongoose'
import { rangeFilter, type TimeRanges } from '../sdesFields.js'
import { type Group, type GroupDraft, isQuery, maxQueryGroups } from './group.js'

const groupSchema = new Schema<Group>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  groupId: { type: Number, required: true },
  groupName: { type: String, required: true },
  type: { type: Number, required: true },
  description: String,
  enabled: { type: Boolean, required: true },
  queryProperty: String,
  queryOperation: String,
  queryValue: String,
  createdAt: { type: Number, required: true },
  lastEditedAt: { type: Number, required: true },
  assignmentsChangedAt: Number,
  membershipChangedAt: Number
})
groupSchema.index({ tenantId: 1, groupId: 1 }, { unique: true })
groupSchema.index({ tenantId: 1, groupName: 1, groupId: 1 })
groupSchema.index({ tenantId: 1, type: 1, groupId: 1 })
groupSchema.index({ tenantId: 1, enabled: 1, groupId: 1 })
groupSchema.index({ tenantId: 1, lastEditedAt: 1 })
groupSchema.index({ tenantId: 1, createdAt: 1 })

export interface GroupFilter {
  tenantId: string
  /** Only these: the groups of a job or of a client. */
  among?: readonly number[] | undefined
  groupName?: string | undefined
  groupNameContain?: string | undefined
  type?: number | undefined
  enabled?: boolean | undefined
  ranges?: TimeRanges<'lastEditedAt' | 'createdAt'> | undefined
}

export type ChangeStamp = 'assignmentsChangedAt' | 'membershipChangedAt'

export interface GroupStore {
  insert(tenantId: string, draft: GroupDraft, now: number): Promise<Group>
  find(tenantId: string, groupId: number): Promise<Group | undefined>
  findMany(tenantId: string, groupIds: readonly number[]): Promise<Group[]>
  findQueryGroups(tenantId: string): Promise<Group[]>
  list(filter: GroupFilter, page: Page): Promise<PageOf<Group>>
  /** Writes unless somebody else has since the group was read. */
  update(group: Group, change: Partial<GroupDraft>, at: { now: number; isOtherQuery: boolean }): Promise<boolean>
  remove(tenantId: string, groupId: number): Promise<boolean>
  stamp(tenantId: string, groupIds: readonly number[], what: { field: ChangeStamp; at: number }): Promise<void>
  unknownAmong(tenantId: string, groupIds: readonly number[]): Promise<number[]>
}

export function createGroupStore(store: Store, counters: Counters): GroupStore {
  const model = store.model<Group>('groups', groupSchema)
  const findAll = (filter: Record<string, unknown>) => model.find(filter as QueryFilter<Group>).sort('groupId')

  return {
    async insert(tenantId, draft, now) {
      const groupId = await counters.next(tenantId, 'group')
      const own = { _id: `${tenantId}:${groupId}`, tenantId, groupId, createdAt: now, lastEditedAt: now }
      const group: Group = { ...own, ...draft }
      await model.create(group)
      return group
    },

    find: async (tenantId, groupId) => (await model.findOne({ tenantId, groupId }).lean<Group>()) ?? undefined,
    findMany: (tenantId, groupIds) =>
      findAll({ tenantId, groupId: { $in: [...groupIds] } })
        .lean<Group[]>()
        .exec(),
    findQueryGroups: (tenantId) => findAll({ tenantId, type: isQuery }).limit(maxQueryGroups).lean<Group[]>().exec(),
    list: (filter, page) => pageOf(findAll(toFilter(filter)), page) as Promise<PageOf<Group>>,

    async update({ tenantId, groupId, lastEditedAt }, change, { now, isOtherQuery }) {
      const stamps = {
        lastEditedAt: Math.max(now, lastEditedAt + 1),
        ...(isOtherQuery ? { membershipChangedAt: now } : {})
      }
      const read = { tenantId, groupId, lastEditedAt }
      return (await model.updateOne(read, { $set: { ...change, ...stamps } })).matchedCount > 0
    },

    async remove(tenantId, groupId) {
      return (await model.deleteOne({ tenantId, groupId })).deletedCount > 0
    },

    async stamp(tenantId, groupIds, { field, at }) {
      await model.updateMany({ tenantId, groupId: { $in: [...groupIds] } }, { $set: { [field]: at } })
    },

    async unknownAmong(tenantId, groupIds) {
      const found = await model.find({ tenantId, groupId: { $in: [...groupIds] } }, { _id: 0, groupId: 1 }).lean()
      const known = new Set(found.map(({ groupId }) => groupId))
      return groupIds.filter((id) => !known.has(id))
    }
  }
}

function toFilter(filter: GroupFilter): Record<string, unknown> {
  const { tenantId, among, groupName, groupNameContain, type, enabled, ranges } = filter
  const parts: Record<string, unknown>[] = []
  if (among) parts.push({ groupId: { $in: [...among] } })
  if (groupName !== undefined) parts.push({ groupName })
  if (groupNameContain !== undefined) parts.push({ groupName: containsPattern(groupNameContain) })
  if (type !== undefined) parts.push({ type })
  if (enabled !== undefined) parts.push({ enabled })
  if (ranges) parts.push(rangeFilter(ranges))
  return { tenantId, ...(parts.length > 0 ? { $and: parts } : {}) }
}
