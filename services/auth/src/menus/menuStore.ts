import { type Store, toConflict } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { Menu, MenuType } from './menu.js'

interface MenuDoc {
  _id: string
  tenantId: string
  code: string
  name: string
  type: MenuType
  parentId?: string
}

const schema = new Schema<MenuDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  code: { type: String, required: true },
  name: { type: String, required: true },
  type: { type: String, required: true },
  parentId: String
})
schema.index({ tenantId: 1, code: 1 }, { unique: true })

export type MenuStore = ReturnType<typeof createMenuStore>

/** The menus that tenants added. */
export function createMenuStore(store: Store) {
  const model = store.model<MenuDoc>('menus', schema)
  return {
    async insert(tenantId: string, { id, ...rest }: Menu): Promise<void> {
      await model
        .create({ _id: id, tenantId, ...rest })
        .catch((error) => toConflict(error, 'a menu with this code exists', { field: 'code' }))
    },
    /** In order of creation: ids are ordered in time and of one length for centuries. */
    async list(tenantId: string): Promise<Menu[]> {
      return (await model.find({ tenantId }).sort({ _id: 1 }).lean()).map(toMenu)
    },
    async count(tenantId: string): Promise<number> {
      return model.countDocuments({ tenantId })
    },
    async update(tenantId: string, id: string, change: { name: string; type: MenuType }): Promise<boolean> {
      const { name, type } = change
      return (await model.updateOne({ _id: id, tenantId }, { $set: { name, type } })).matchedCount === 1
    },
    async remove(tenantId: string, id: string): Promise<boolean> {
      return (await model.deleteOne({ _id: id, tenantId })).deletedCount === 1
    }
  }
}

function toMenu({ _id, code, name, type, parentId }: MenuDoc): Menu {
  return { id: _id, code, name, type, ...(parentId === undefined ? {} : { parentId }) }
}
