import {
  AppError,
  BeaverPage,
  beaverPaging,
  beaverRange,
  type ErrorCode,
  oneOf,
  type Route,
  route,
  type Static,
  Type,
  toBeaverPage
} from '@fleetgate/kit'
import { ById, NumericId, orNull } from '../beaverIds.js'
import type { DeviceGroups } from './deviceGroups.js'
import { type EntityTags, tagOperations } from './entityTags.js'
import type { LabelText } from './labelStore.js'
import type { LabelView } from './labels.js'

const Ids = (maxItems: number) => Type.Array(NumericId, { maxItems })
const Name = (maxLength: number) => Type.String({ minLength: 1, maxLength, pattern: '\\S' })
const Made = Type.Object({ id: Type.String() })
const Count = Type.Object({ number: Type.Integer() })

const Group = Type.Object({
  id: Type.String(),
  name: Type.String(),
  device_count: Type.Optional(Type.Integer()),
  created_at: Type.Integer(),
  updated_at: Type.Integer()
})
const GroupDraft = Type.Object({ name: Name(127) })

/** Later versions of the real system have codes of their own for groups and tags; those of before go on. */
const groupReads = ['device.view', 'device.group_manage'] as const
const groupWrites = ['device.group_manage', 'device.edit'] as const
const groupCodes: Partial<Record<ErrorCode, string>> = {
  not_found: 'device_group_not_found',
  conflict: 'device_group_name_exists',
  quota_exceeded: 'device_group_number_limitation'
}

async function withGroupCodes<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const wireCode = error instanceof AppError ? groupCodes[error.code] : undefined
    if (!(error instanceof AppError) || wireCode === undefined) throw error
    throw new AppError(error.code, error.message, { ...error.details, wireCode }, { cause: error })
  }
}

/** Groups of devices (Beaver IoT 1.2). */
export function deviceGroupRoutes(groups: DeviceGroups): Route[] {
  const path = '/device-group'
  return [
    route({
      method: 'post',
      path: `${path}/search`,
      summary: 'Groups of devices, newest first',
      needs: groupReads,
      body: Type.Object({
        name: orNull<string>({ type: 'string', maxLength: 127 }),
        with_device_count: orNull<boolean>({ type: 'boolean' }),
        ...beaverPaging
      }),
      reply: BeaverPage(Group),
      handle: async ({ body, caller }) => {
        const { items, total } = await groups.search(body.name ?? undefined, beaverRange(body), caller)
        const toGroup = ({ id, name, count, createdAt, updatedAt }: LabelView) => ({
          ...{ id, name, created_at: createdAt, updated_at: updatedAt },
          ...(body.with_device_count ? { device_count: count } : {})
        })
        return toBeaverPage(body, { items: items.map(toGroup), total })
      }
    }),
    route({
      method: 'get',
      path: `${path}/number`,
      summary: 'How many groups there are',
      needs: groupReads,
      reply: Count,
      handle: async ({ caller }) => ({ number: await groups.count(caller) })
    }),
    route({
      method: 'post',
      path,
      summary: 'Make a group of devices',
      needs: groupWrites,
      body: GroupDraft,
      reply: Made,
      handle: async ({ body: { name }, caller }) => ({ id: await withGroupCodes(groups.add(plain(name), caller)) })
    }),
    route({
      method: 'put',
      path: `${path}/:id`,
      summary: 'Rename a group',
      needs: groupWrites,
      params: ById,
      body: GroupDraft,
      handle: ({ params, body: { name }, caller }) => withGroupCodes(groups.update(params.id, plain(name), caller))
    }),
    route({
      method: 'delete',
      path: `${path}/:id`,
      summary: 'Delete a group; its devices stay',
      needs: groupWrites,
      params: ById,
      handle: ({ params, caller }) => groups.remove([params.id], caller)
    }),
    route({
      method: 'post',
      path: '/device/move-to-group',
      summary: 'Put devices into a group; without one they leave theirs',
      needs: groupWrites,
      body: Type.Object({
        group_id: Type.Optional(Type.Union([NumericId, Type.Null()])),
        device_id_list: Ids(1000)
      }),
      handle: ({ body: { group_id, device_id_list }, caller }) => {
        const groupId = group_id === undefined || group_id === null ? undefined : String(group_id)
        return groups.move(device_id_list.map(String), groupId, caller)
      }
    })
  ]
}

const Tag = Type.Object({
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  color: Type.String(),
  tagged_entities_count: Type.Integer(),
  created_at: Type.Integer(),
  updated_at: Type.Integer()
})
const TagDraft = Type.Object({
  name: Name(25),
  description: Type.Optional(Type.String({ maxLength: 63 })),
  color: Type.Optional(Type.String({ maxLength: 32 }))
})

/** Tags of entities (Beaver IoT 1.3). */
export function entityTagRoutes(tags: EntityTags): Route[] {
  const path = '/entity/tags'
  const reads = ['entity_tag.view', 'entity_tag.manage', 'entity_custom.view', 'entity_data.view'] as const
  const writes = ['entity_tag.manage', 'entity_custom.edit', 'entity_data.edit'] as const
  return [
    route({
      method: 'post',
      path: `${path}/search`,
      summary: 'Tags with how many entities have them, newest first',
      needs: reads,
      body: Type.Object({ keyword: orNull<string>({ type: 'string', maxLength: 64 }), ...beaverPaging }),
      reply: BeaverPage(Tag),
      handle: async ({ body, caller }) => {
        const { items, total } = await tags.search(body.keyword ?? undefined, beaverRange(body), caller)
        return toBeaverPage(body, { items: items.map(toTag), total })
      }
    }),
    route({
      method: 'get',
      path: `${path}/number`,
      summary: 'How many tags there are',
      needs: reads,
      reply: Count,
      handle: async ({ caller }) => ({ number: await tags.count(caller) })
    }),
    route({
      method: 'post',
      path,
      summary: 'Make a tag',
      needs: writes,
      body: TagDraft,
      reply: Made,
      handle: async ({ body, caller }) => ({ id: await tags.add(toText(body), caller) })
    }),
    route({
      method: 'put',
      path: `${path}/:id`,
      summary: 'Change a tag',
      needs: writes,
      params: ById,
      body: TagDraft,
      handle: ({ params, body, caller }) => tags.update(params.id, toText(body), caller)
    }),
    route({
      method: 'post',
      path: `${path}/delete`,
      summary: 'Delete tags and take them off their entities; unknown ids are passed over',
      needs: writes,
      body: Type.Object({ ids: Ids(300) }),
      handle: ({ body, caller }) => tags.remove(body.ids.map(String), caller)
    }),
    route({
      method: 'post',
      path: `${path}/mapping`,
      summary: 'Put tags on entities or take them off',
      needs: writes,
      body: Type.Object({
        operation: oneOf(tagOperations),
        entity_ids: Ids(1000),
        added_tag_ids: Type.Optional(Ids(10)),
        removed_tag_ids: Type.Optional(Ids(300))
      }),
      handle: ({ body, caller }) => {
        const { operation, entity_ids, added_tag_ids = [], removed_tag_ids = [] } = body
        const wish = { operation, entityIds: entity_ids.map(String) }
        return tags.tag({ ...wish, added: added_tag_ids.map(String), removed: removed_tag_ids.map(String) }, caller)
      }
    })
  ]
}

function plain(name: string) {
  return toText({ name })
}

function toText({ name, description = '', color = '' }: Static<typeof TagDraft>): LabelText {
  return { name, description, color }
}

function toTag({ id, name, description, color, count, createdAt, updatedAt }: LabelView) {
  const times = { created_at: createdAt, updated_at: updatedAt }
  return { id, name, description, color, tagged_entities_count: count, ...times }
}
