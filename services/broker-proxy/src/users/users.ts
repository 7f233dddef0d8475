import { AppError, type Log } from '@fleetgate/contracts'
import type { Secrets } from '@fleetgate/store'
import { keepAccount, provideMachineUser } from './machineUser.js'
import type { Grant, Perm } from './permissions.js'
import { checkName, checkUser } from './userRules.js'
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
  /** Set where it is one machine's: then it logs in with that client id only. */
  machine?: Machine | undefined
}

export interface Machine {
  clientId: string
  /** What allowed it to be made. */
  grant: string
}

export type UserDraft = Omit<MqttUser, 'tenantId' | 'accessKey' | 'machine'>
/** What an update does not name stays as it is; so does the secret when it is empty. */
export type UserChange = { [K in keyof UserDraft]?: UserDraft[K] | undefined }

export interface Users {
  create(tenantId: string, accessKey: string, draft: UserDraft): Promise<MqttUser>
  get(tenantId: string, accessKey: string): Promise<MqttUser>
  list(tenantId: string, page: { offset: number; limit: number }): Promise<{ items: MqttUser[]; total: number }>
  change(tenantId: string, accessKey: string, change: UserChange): Promise<MqttUser>
  /** Makes a machine's user, or answers the one that the same grant made before: see the RPC broker-proxy.createMachineUser. */
  provideMachine(tenantId: string, machine: Machine, replace: boolean): Promise<MqttUser>
  /** Makes the user of a service of ours, or gives it this secret and these topics: see the RPC broker-proxy.keepMqttAccount. */
  keep(tenantId: string, accessKey: string, account: { secretKey: string; topics: string[] }): Promise<void>
  /** Takes that user away, where it is there: see the RPC broker-proxy.dropMqttAccount. */
  drop(tenantId: string, accessKey: string): Promise<void>
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
  /** How many users a tenant may have beside those of machines; 1000 is what DMS documents for an instance. */
  maxUsers: number
  now: () => number
  log: Log
}

export function createUsers({ store, secrets, announce, maxUsers, now, log }: UsersParts): Users {
  function toUser({ sealedSecret, createdAt: _created, ...rest }: StoredUser): MqttUser {
    return { ...rest, secretKey: secrets.open(sealedSecret, secretContext(rest)) }
  }

  function seal(user: { tenantId: string; accessKey: string }, secret: string): string {
    return secrets.seal(secret, secretContext(user))
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
      checkUser(accessKey, draft)
      if ((await store.count(tenantId)) >= maxUsers) throw quotaReached(maxUsers)
      const { secretKey, ...rest } = draft
      const sealedSecret = seal({ tenantId, accessKey }, secretKey)
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
      const wanted: Partial<UserDraft> = Object.fromEntries(
        Object.entries(change).filter(([, value]) => value !== undefined)
      )
      checkUser(accessKey, { ...before, ...wanted, secretKey: wanted.secretKey || before.secretKey })
      const { secretKey, ...rest } = wanted
      const sealed = secretKey ? { sealedSecret: seal(before, secretKey) } : {}
      // Only what was asked for: somebody else may have changed the rest since it was read.
      const stored = await store.update(tenantId, accessKey, { ...rest, ...sealed })
      if (!stored) throw notFound(accessKey)
      await told(stored, 'MQTT user changed')
      return toUser(stored)
    },

    async provideMachine(tenantId, machine, replace) {
      const { user, isNew } = await provideMachineUser({ store, seal, now }, { tenantId, machine, replace })
      // Told again when asked again: the process that made it may have died in between.
      await told(user, isNew ? 'MQTT user of a machine made' : 'MQTT user of a machine asked for again')
      return toUser(user)
    },

    async keep(tenantId, accessKey, account) {
      await keepAccount({ store, seal, now }, { tenantId, accessKey, ...account })
      await told({ tenantId, accessKey }, 'MQTT user of a service kept')
    },

    async drop(tenantId, accessKey) {
      const known = await store.find(accessKey)
      if (known && known.tenantId !== tenantId) return
      await store.remove(tenantId, accessKey)
      // Told where it is gone already too: the process that took it away may have died in between.
      await told({ tenantId, accessKey }, 'MQTT user of a service dropped')
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

/** What the secret of a user is sealed with. */
export function secretContext({ tenantId, accessKey }: { tenantId: string; accessKey: string }): string {
  return `mqttUser:${tenantId}:${accessKey}`
}

function notFound(accessKey: string): AppError {
  return new AppError('not_found', `user ${accessKey} does not exist`)
}

function quotaReached(maxUsers: number): AppError {
  return new AppError('quota_exceeded', `at most ${maxUsers} users are allowed`)
}
