import { AppError, type Log } from '@fleetgate/contracts'
import type { Secrets } from '@fleetgate/store'
import { isAddressList } from './addressList.js'
import type { Grant, Perm } from './permissions.js'
import type { StoredUser, UserStore } from './userStore.js'

/** An MQTT user: `accessKey` is the user name, `secretKey` the password. */
export interface MqttUser {
  tenantId: string
  accessKey: string
  secretKey: string
  whiteRemoteAddress: string
  admin: boolean
  defaultTopicPerm: Perm
  defaultGroupPerm: Perm
  topicPerms: Grant[]
  groupPerms: Grant[]
}

export type UserDraft = Omit<MqttUser, 'tenantId' | 'accessKey'>
/** What an update does not name stays as it is; so does the secret when it is empty. */
export type UserChange = { [K in keyof UserDraft]?: UserDraft[K] | undefined }

export interface Users {
  create(tenantId: string, accessKey: string, draft: UserDraft): Promise<MqttUser>
  get(tenantId: string, accessKey: string): Promise<MqttUser>
  list(tenantId: string, page: { offset: number; limit: number }): Promise<{ items: MqttUser[]; total: number }>
  change(tenantId: string, accessKey: string, change: UserChange): Promise<MqttUser>
  remove(tenantId: string, accessKey: string): Promise<void>
  /** What the users of a tenant may do, without their secrets. */
  rights(tenantId: string): AsyncIterable<Omit<MqttUser, 'secretKey'>>
  /** Every user of every tenant, for those who check log-ins. */
  all(): AsyncIterable<MqttUser>
  find(accessKey: string): Promise<MqttUser | undefined>
}

export interface UsersParts {
  store: UserStore
  secrets: Secrets
  /** Tells every process that this user is not what it was. */
  announce(user: { tenantId: string; accessKey: string }): Promise<void>
  /** How many users a tenant may have; 1000 is what DMS documents for an instance. */
  maxUsers: number
  now: () => number
  log: Log
}

const maxGrants = 1000

export function createUsers({ store, secrets, announce, maxUsers, now, log }: UsersParts): Users {
  function toUser({ sealedSecret, createdAt: _created, ...rest }: StoredUser): MqttUser {
    return { ...rest, secretKey: secrets.open(sealedSecret, contextOf(rest)) }
  }

  async function told(user: { tenantId: string; accessKey: string }, what: string): Promise<void> {
    log.info({ tenantId: user.tenantId, accessKey: user.accessKey }, what)
    await announce({ tenantId: user.tenantId, accessKey: user.accessKey })
  }

  async function get(tenantId: string, accessKey: string): Promise<MqttUser> {
    const found = await store.find(accessKey)
    if (!found || found.tenantId !== tenantId) throw notFound(accessKey)
    return toUser(found)
  }

  return {
    get,

    async create(tenantId, accessKey, draft) {
      checkName(accessKey)
      check(accessKey, draft)
      if ((await store.count(tenantId)) >= maxUsers) throw quotaReached(maxUsers)
      const { secretKey, ...rest } = draft
      const sealedSecret = secrets.seal(secretKey, contextOf({ tenantId, accessKey }))
      await store.insert({ tenantId, accessKey, ...rest, sealedSecret, createdAt: now() })
      // Others may have been created meanwhile: of those who raced for the last place, none may go beyond it.
      if ((await store.count(tenantId)) > maxUsers) {
        await store.remove(tenantId, accessKey)
        throw quotaReached(maxUsers)
      }
      await told({ tenantId, accessKey }, 'MQTT user created')
      return { tenantId, accessKey, ...draft }
    },

    async list(tenantId, page) {
      const { items, total } = await store.list(tenantId, page)
      return { items: items.map(toUser), total }
    },

    async change(tenantId, accessKey, change) {
      const before = await get(tenantId, accessKey)
      const wanted = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined))
      const after: MqttUser = { ...before, ...wanted, secretKey: change.secretKey || before.secretKey }
      check(accessKey, after)
      const { tenantId: _tenant, accessKey: _key, secretKey, ...rest } = after
      const sealedSecret = secrets.seal(secretKey, contextOf(after))
      if (!(await store.update(tenantId, accessKey, { ...rest, sealedSecret }))) throw notFound(accessKey)
      await told(after, 'MQTT user changed')
      return after
    },

    async remove(tenantId, accessKey) {
      if (!(await store.remove(tenantId, accessKey))) throw notFound(accessKey)
      await told({ tenantId, accessKey }, 'MQTT user deleted')
    },

    rights: (tenantId) => store.rights(tenantId),

    async *all() {
      for await (const stored of store.all()) yield toUser(stored)
    },

    async find(accessKey) {
      const stored = await store.find(accessKey)
      return stored && toUser(stored)
    }
  }
}

function contextOf({ tenantId, accessKey }: { tenantId: string; accessKey: string }): string {
  return `mqttUser:${tenantId}:${accessKey}`
}

function notFound(accessKey: string): AppError {
  return new AppError('not_found', `user ${accessKey} does not exist`)
}

function quotaReached(maxUsers: number): AppError {
  return new AppError('quota_exceeded', `at most ${maxUsers} users are allowed`)
}

/** DMS: 7 to 64 letters, digits, `-` and `_`, a letter in front. */
function checkName(accessKey: string): void {
  if (/^[A-Za-z][A-Za-z0-9_-]{6,63}$/.test(accessKey)) return
  const reason = 'must have 7 to 64 letters, digits, - and _, a letter in front'
  throw invalid('access_key', reason, { wireCode: 'DMS.00400015' })
}

function check(accessKey: string, draft: UserDraft): void {
  checkSecret(accessKey, draft.secretKey)
  if (!isAddressList(draft.whiteRemoteAddress)) {
    throw invalid('white_remote_address', 'must be IPv4 addresses separated by commas, * for an octet')
  }
  if (draft.topicPerms.length > maxGrants) throw invalid('topic_perms', `must have at most ${maxGrants} entries`)
  if (draft.groupPerms.length > maxGrants) throw invalid('group_perms', `must have at most ${maxGrants} entries`)
}

const specials = '`~!@#$%^&*()-_=+\\|[{}];:\'",<.>/?'

/** DMS: 8 to 32 characters of at least three kinds, no `-` in front, neither the user name nor its reverse. */
function checkSecret(accessKey: string, secret: string): void {
  if (secret.length < 8 || secret.length > 32) throw badSecret('must have 8 to 32 characters')
  const isSpecial = [...secret].some((char) => specials.includes(char))
  const kinds = [/[A-Z]/.test(secret), /[a-z]/.test(secret), /[0-9]/.test(secret), isSpecial].filter(Boolean)
  if (![...secret].every((char) => /[A-Za-z0-9]/.test(char) || specials.includes(char))) {
    throw badSecret('has characters that are not allowed')
  }
  if (kinds.length < 3) throw badSecret('must mix three of upper case, lower case, digits and special characters')
  if (secret.startsWith('-')) throw badSecret('must not start with -')
  if (secret === accessKey || secret === [...accessKey].reverse().join('')) {
    throw badSecret('must not be the user name or its reverse')
  }
}

function badSecret(reason: string): AppError {
  return invalid('secret_key', reason, { wireCode: 'DMS.00400012' })
}

function invalid(field: string, reason: string, details: Record<string, unknown> = {}): AppError {
  return new AppError('invalid_input', `${field} ${reason}`, { field, reason, ...details })
}
