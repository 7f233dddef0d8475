import { type Bus, type Log, type Range, roleChanged, roleGrantsChanged } from '@fleetgate/kit'
import {
  containsPattern,
  createOutbox,
  isDuplicateKey,
  type OutboxEntry,
  outboxField,
  type PageOf,
  pageOf,
  type Store,
  toConflict
} from '@fleetgate/store'
import { Schema } from 'mongoose'
import { codesOf } from '../menus/seededMenus.js'
import { keyOf, type Resource, type Role, resourceOf, superAdminRole } from './role.js'

interface RoleDoc {
  /** `<tenant>/<role>`: the id 1 is in every tenant. */
  _id: string
  roleId: string
  /** Empty once deleted: no query of a tenant finds it while its event waits. */
  tenantId: string
  name: string
  description: string
  menuIds: string[]
  /** `TYPE:id` */
  resources: string[]
  revision: number
  createdAt: number
  outbox?: OutboxEntry[]
}

const schema = new Schema<RoleDoc>({
  _id: String,
  roleId: { type: String, required: true },
  tenantId: { type: String, required: true },
  name: { type: String, required: true },
  description: String,
  menuIds: [String],
  resources: [String],
  revision: { type: Number, required: true },
  createdAt: { type: Number, required: true },
  outbox: outboxField
})
schema.index({ tenantId: 1, name: 1 }, { unique: true })
schema.index({ tenantId: 1, createdAt: -1, _id: -1 })
schema.index({ tenantId: 1, resources: 1 })

export type RoleSortKey = 'name' | 'createdAt'
export type RolePage = Range & { sort: [RoleSortKey, 1 | -1][] }

const newestFirst: RolePage['sort'] = [['createdAt', -1]]

export type RoleStore = ReturnType<typeof createRoleStore>

export function createRoleStore({ store, bus, log, now }: { store: Store; bus: Bus; log: Log; now: () => number }) {
  const model = store.model<RoleDoc>('roles', schema)
  const outbox = createOutbox({ model, bus, log })

  function granted(tenantId: string, roleId: string): OutboxEntry {
    return outbox.entry(roleGrantsChanged, { tenantId, roleId, at: now() })
  }

  async function updateGrants(tenantId: string, roleId: string, change: Record<string, unknown>): Promise<void> {
    const push = (change.$push as object | undefined) ?? {}
    await model.updateOne(
      { _id: docId(tenantId, roleId), tenantId },
      { ...change, $push: { ...push, outbox: granted(tenantId, roleId) } }
    )
    await outbox.flush([docId(tenantId, roleId)])
  }

  return {
    outbox,
    /** Makes the role super_admin where it is missing. */
    async seed(tenantId: string): Promise<void> {
      const { id, name } = superAdminRole
      const fresh = { roleId: id, name, description: '', menuIds: [], resources: [], revision: 1, createdAt: now() }
      try {
        await model.updateOne({ _id: docId(tenantId, id), tenantId }, { $setOnInsert: fresh }, { upsert: true })
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
      }
    },
    async insert({ id, resources, ...rest }: Role): Promise<void> {
      const entry = changed({ id, tenantId: rest.tenantId, menuIds: rest.menuIds, revision: rest.revision })
      const _id = docId(rest.tenantId, id)
      await model
        .create({ _id, roleId: id, ...rest, resources: resources.map(keyOf), outbox: [entry] })
        .catch(nameTaken)
      await outbox.flush([_id])
    },
    async find(tenantId: string, id: string): Promise<Role | undefined> {
      const doc = await model.findOne({ _id: docId(tenantId, id), tenantId }).lean()
      return doc ? toRole(doc) : undefined
    },
    /** Unknown ids are left out. */
    async findMany(tenantId: string, ids: Iterable<string>): Promise<Role[]> {
      const wanted = [...new Set(ids)].map((id) => docId(tenantId, id))
      return (await model.find({ _id: { $in: wanted }, tenantId }).lean()).map(toRole)
    },
    /** Newest first where nothing else is asked for. */
    async search(tenantId: string, keyword: string, { sort, ...range }: RolePage): Promise<PageOf<Role>> {
      const filter = { tenantId, ...(keyword ? { name: containsPattern(keyword) } : {}) }
      const order: [string, 1 | -1][] = [...(sort.length > 0 ? sort : newestFirst), ['_id', -1]]
      const { items, total } = await pageOf(model.find(filter).sort(order), range)
      return { items: items.map(toRole), total }
    },
    async rename(tenantId: string, id: string, change: { name: string; description?: string }): Promise<boolean> {
      const result = await model.updateOne({ _id: docId(tenantId, id), tenantId }, { $set: change }).catch(nameTaken)
      return result.matchedCount === 1
    },
    /** False when the role changed or went since it was read. */
    async setMenus(role: Role, menuIds: string[]): Promise<boolean> {
      const next = { id: role.id, tenantId: role.tenantId, menuIds, revision: role.revision + 1 }
      const _id = docId(role.tenantId, role.id)
      const result = await model.updateOne(
        { _id, tenantId: role.tenantId, revision: role.revision },
        { $set: { menuIds, revision: next.revision }, $push: { outbox: changed(next) } }
      )
      if (result.matchedCount === 1) await outbox.flush([_id])
      return result.matchedCount === 1
    },
    async dropMenu(tenantId: string, menuId: string): Promise<void> {
      await model.updateMany({ tenantId, menuIds: menuId }, { $pull: { menuIds: menuId } })
    },
    async addResources(tenantId: string, id: string, resources: Resource[]): Promise<void> {
      await updateGrants(tenantId, id, { $addToSet: { resources: { $each: resources.map(keyOf) } } })
    },
    async removeResources(tenantId: string, id: string, resources: Resource[]): Promise<void> {
      await updateGrants(tenantId, id, { $pullAll: { resources: resources.map(keyOf) } })
    },
    /** The roles that have a resource. */
    async idsWith(tenantId: string, resource: Resource): Promise<string[]> {
      const docs = await model
        .find({ tenantId, resources: keyOf(resource) })
        .select('roleId')
        .lean()
      return docs.map(({ roleId }) => roleId)
    },
    /** A resource that is gone is gone from every role; nobody needs to be told. */
    async dropResource(tenantId: string, resource: Resource): Promise<void> {
      const key = keyOf(resource)
      await model.updateMany({ tenantId, resources: key }, { $pull: { resources: key } })
    },
    async remove(tenantId: string, id: string): Promise<boolean> {
      const _id = docId(tenantId, id)
      const entry = changed({ id, tenantId, menuIds: [], revision: Number.MAX_SAFE_INTEGER })
      const result = await model.updateOne(
        { _id, tenantId },
        { $set: { tenantId: '', name: _id, menuIds: [], resources: [] }, $push: { outbox: entry } }
      )
      if (result.matchedCount === 1) await outbox.flush([_id])
      return result.matchedCount === 1
    },
    /** Roles of every tenant in order of their document's id, for auth.listRoleCodes. */
    async listAfter(after: string, limit: number): Promise<{ docId: string; role: Role }[]> {
      const docs = await model
        .find({ _id: { $gt: after }, tenantId: { $ne: '' } })
        .select('-resources')
        .sort({ _id: 1 })
        .limit(limit)
        .lean()
      return docs.map((doc) => ({ docId: doc._id, role: toRole({ ...doc, resources: [] }) }))
    },
    async purge(): Promise<void> {
      await model.deleteMany({ tenantId: '', outbox: { $size: 0 } })
    }
  }

  function changed({ id, tenantId, menuIds, revision }: Pick<Role, 'id' | 'tenantId' | 'menuIds' | 'revision'>) {
    return outbox.entry(roleChanged, { roleId: id, tenantId, codes: codesOf(menuIds), revision, at: now() })
  }
}

function docId(tenantId: string, roleId: string): string {
  return `${tenantId}/${roleId}`
}

function nameTaken(error: unknown): never {
  return toConflict(error, 'a role of this name exists', { field: 'name' })
}

function toRole(doc: RoleDoc): Role {
  return {
    id: doc.roleId,
    tenantId: doc.tenantId,
    name: doc.name,
    description: doc.description ?? '',
    menuIds: [...doc.menuIds],
    resources: doc.resources.map(resourceOf),
    revision: doc.revision,
    createdAt: doc.createdAt
  }
}
