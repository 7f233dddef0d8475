import { EpochMs, TenantId } from './ids.js'
import type { EventContract, RpcContract } from './messages.js'
import { oneOf, type Static, Type } from './schema.js'

/** What a role can be granted beside function codes. */
export const resourceTypes = ['ENTITY', 'DEVICE', 'INTEGRATION', 'DASHBOARD', 'WORKFLOW'] as const
export type ResourceType = (typeof resourceTypes)[number]

const ResourceId = Type.String({ minLength: 1, maxLength: 128 })
const Resource = Type.Object({ id: ResourceId, type: oneOf(resourceTypes) })

const RoleCodes = {
  roleId: Type.String(),
  tenantId: TenantId,
  codes: Type.Array(Type.String()),
  /** Grows with every change of the codes; what comes with a lower one is older. */
  revision: Type.Integer()
}

export const roleChanged = {
  subject: 'auth.role.changed',
  summary: 'A role allows other function codes than before (none once it is deleted): all of them are named',
  data: Type.Object({ ...RoleCodes, at: EpochMs })
} satisfies EventContract

export const userAuthorized = {
  subject: 'auth.user.authorized',
  summary: 'The roles of a user changed: overrides every token whose `gv` claim is lower than the version',
  data: Type.Object({
    userId: Type.String(),
    tenantId: TenantId,
    isSuperAdmin: Type.Boolean(),
    roleIds: Type.Array(Type.String()),
    version: Type.Integer(),
    at: EpochMs
  })
} satisfies EventContract
export type UserAuthorized = Static<typeof userAuthorized.data>

export const roleGrantsChanged = {
  subject: 'auth.roleGrants.changed',
  summary: 'A role was granted or deprived of resources: ask auth.listGrants again for users who have it',
  data: Type.Object({ tenantId: TenantId, roleId: Type.String(), at: EpochMs })
} satisfies EventContract

export const resourceCreated = {
  subject: 'devices.resource.created',
  summary: 'Someone created a resource: the roles of the creator are granted it',
  data: Type.Object({ tenantId: TenantId, userId: Type.String(), resource: Resource, at: EpochMs })
} satisfies EventContract

export const resourceDeleted = {
  subject: 'devices.resource.deleted',
  summary: 'A resource is gone, and with it every grant of it',
  data: Type.Object({ tenantId: TenantId, resource: Resource, at: EpochMs })
} satisfies EventContract

export const listRoleCodes = {
  operation: 'auth.listRoleCodes',
  summary: 'The function codes of every role of every tenant, in pages: the next one begins after `next`',
  request: Type.Object({
    after: Type.String({ default: '' }),
    limit: Type.Integer({ minimum: 1, maximum: 500, default: 500 })
  }),
  reply: Type.Object({ roles: Type.Array(Type.Object(RoleCodes)), next: Type.Optional(Type.String()) }),
  timeoutMs: 3000
} satisfies RpcContract

export const listGrants = {
  operation: 'auth.listGrants',
  summary: 'What the roles of a user grant of these types (of all without `types`), in pages; a super admin has `all`',
  request: Type.Object({
    tenantId: TenantId,
    userId: Type.String(),
    types: Type.Optional(Type.Array(oneOf(resourceTypes))),
    offset: Type.Integer({ minimum: 0, default: 0 })
  }),
  reply: Type.Object({
    all: Type.Boolean(),
    resources: Type.Array(Resource),
    roleIds: Type.Array(Type.String()),
    /** Offset of the next page, where there is one. */
    next: Type.Optional(Type.Integer())
  }),
  timeoutMs: 3000
} satisfies RpcContract

export const grantToCreator = {
  operation: 'auth.grantToCreator',
  summary: 'Grant a new resource to the roles of its creator now; devices.resource.created does the same later',
  request: Type.Object({ tenantId: TenantId, userId: Type.String(), resource: Resource }),
  reply: Type.Object({}),
  timeoutMs: 2000
} satisfies RpcContract

const UserName = Type.Object({
  id: Type.String(),
  nickname: Type.String(),
  email: Type.String(),
  isDeleted: Type.Boolean()
})
/** By id. Who is missing was deleted before names were kept, or never was. */
export type UserNames = Map<string, Static<typeof UserName>>

export const listUserNames = {
  operation: 'auth.listUserNames',
  summary: 'Names of users of a tenant, of deleted ones as they were last: for lists that tell who created something',
  request: Type.Object({ tenantId: TenantId, ids: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 1000 }) }),
  reply: Type.Object({ users: Type.Array(UserName) }),
  timeoutMs: 2000
} satisfies RpcContract

const Ids = Type.Optional(Type.Array(ResourceId))
const Text = Type.Optional(Type.String())

export const listNames = {
  operation: 'devices.listNames',
  summary:
    'Names of resources, newest first: those in `ids` or below `parentIds` (all without both), but those in `exceptIds` or below `exceptParentIds`',
  request: Type.Object({
    tenantId: TenantId,
    type: oneOf(resourceTypes),
    ids: Ids,
    parentIds: Ids,
    exceptIds: Ids,
    exceptParentIds: Ids,
    /** Part of the name or of the parent's name. */
    keyword: Type.Optional(Type.String({ maxLength: 256 })),
    offset: Type.Integer({ minimum: 0 }),
    limit: Type.Integer({ minimum: 1, maximum: 1000 })
  }),
  reply: Type.Object({
    /** False where this type is not kept yet: the answer says nothing then. */
    isKnown: Type.Boolean(),
    total: Type.Integer(),
    items: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        createdAt: Type.Optional(EpochMs),
        userId: Text,
        parentId: Text,
        parentName: Text,
        deviceCount: Type.Optional(Type.Integer()),
        entityCount: Type.Optional(Type.Integer())
      })
    )
  }),
  timeoutMs: 2000
} satisfies RpcContract
