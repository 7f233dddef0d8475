import { AppError, oneOf, type Static, Type } from '@fleetgate/contracts'
import { DmsPage, dmsPaging, type Route, route, toDmsPage } from '@fleetgate/kit'
import { dmsPlace, tenantOf } from './dmsPlace.js'
import { perms } from './permissions.js'
import type { MqttUser, UserChange, UserDraft, Users } from './users.js'

const AccessKey = Type.String({ maxLength: 256, description: 'user name: 7 to 64 letters, digits, - and _' })
const SecretKey = Type.String({ description: 'password: 8 to 32 characters' })
const Perm = oneOf(perms)
const Grant = Type.Object({ name: Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000]+$' }), perm: Perm })

const fields = {
  white_remote_address: Type.String({ maxLength: 2048 }),
  admin: Type.Boolean(),
  default_topic_perm: Perm,
  default_group_perm: Perm,
  topic_perms: Type.Array(Grant, { maxItems: 1000 }),
  group_perms: Type.Array(Grant, { maxItems: 1000 })
}

const Draft = Type.Object({
  access_key: AccessKey,
  secret_key: SecretKey,
  ...Type.Partial(Type.Object(fields)).properties
})
const Change = Type.Partial(
  Type.Object({ access_key: Type.String({ maxLength: 64 }), secret_key: SecretKey, ...fields })
)
const Reply = Type.Object({ access_key: Type.String(), secret_key: Type.String(), ...fields })

const OfInstance = Type.Object(dmsPlace)
const OfUser = Type.Object({ ...dmsPlace, user: Type.String({ maxLength: 256 }) })
const base = '/v2/:project/instances/:instance/users'

/** DMS for RocketMQ, "users": the project is the caller's tenant, which has one instance, `default`. */
export function dmsUserRoutes(users: Users): Route[] {
  return [
    route({
      method: 'post',
      path: base,
      summary: 'Create an MQTT user',
      needs: 'mqtt_user.edit',
      params: OfInstance,
      body: Draft,
      reply: Reply,
      handle: async ({ params, body, caller }) =>
        toReply(await users.create(tenantOf(params, caller), body.access_key, toDraft(body)))
    }),
    route({
      method: 'get',
      path: base,
      summary: 'List the MQTT users',
      needs: 'mqtt_user.view',
      params: OfInstance,
      query: Type.Object(dmsPaging),
      reply: DmsPage('users', Reply),
      handle: async ({ params, query, caller }) => {
        const { items, total } = await users.list(tenantOf(params, caller), query)
        return toDmsPage('users', { items: items.map(toReply), total })
      }
    }),
    route({
      method: 'get',
      path: `${base}/:user`,
      summary: 'Read an MQTT user',
      needs: 'mqtt_user.view',
      params: OfUser,
      reply: Reply,
      handle: async ({ params, caller }) => toReply(await users.get(tenantOf(params, caller), params.user))
    }),
    route({
      method: 'put',
      path: `${base}/:user`,
      summary: 'Change an MQTT user; an empty secret_key stays',
      needs: 'mqtt_user.edit',
      params: OfUser,
      body: Change,
      reply: Reply,
      handle: async ({ params, body, caller }) => {
        const tenantId = tenantOf(params, caller)
        if (body.access_key && body.access_key !== params.user) {
          throw new AppError('invalid_input', 'access_key cannot be changed', { field: 'access_key' })
        }
        return toReply(await users.change(tenantId, params.user, toChange(body)))
      }
    }),
    route({
      method: 'delete',
      path: `${base}/:user`,
      summary: 'Delete an MQTT user and end its connections',
      needs: 'mqtt_user.edit',
      params: OfUser,
      reply: Type.Object({ message: Type.String() }),
      handle: async ({ params, caller }) => {
        await users.remove(tenantOf(params, caller), params.user)
        return { message: 'delete user success.' }
      }
    })
  ]
}

function toDraft(body: Static<typeof Draft>): UserDraft {
  return {
    secretKey: body.secret_key,
    whiteRemoteAddress: body.white_remote_address ?? '',
    admin: body.admin ?? false,
    defaultTopicPerm: body.default_topic_perm ?? 'DENY',
    defaultGroupPerm: body.default_group_perm ?? 'DENY',
    topicPerms: grants(body.topic_perms) ?? [],
    groupPerms: grants(body.group_perms) ?? []
  }
}

function toChange(body: Static<typeof Change>): UserChange {
  return {
    secretKey: body.secret_key,
    whiteRemoteAddress: body.white_remote_address,
    admin: body.admin,
    defaultTopicPerm: body.default_topic_perm,
    defaultGroupPerm: body.default_group_perm,
    topicPerms: grants(body.topic_perms),
    groupPerms: grants(body.group_perms)
  }
}

/** Only the fields we know: what else an entry carries is not stored. */
function grants(given: readonly Static<typeof Grant>[] | undefined): Static<typeof Grant>[] | undefined {
  return given?.map(({ name, perm }) => ({ name, perm }))
}

function toReply(user: MqttUser): Static<typeof Reply> {
  return {
    access_key: user.accessKey,
    secret_key: user.secretKey,
    white_remote_address: user.whiteRemoteAddress,
    admin: user.admin,
    default_topic_perm: user.defaultTopicPerm,
    default_group_perm: user.defaultGroupPerm,
    topic_perms: user.topicPerms,
    group_perms: user.groupPerms
  }
}
