import { randomBytes, timingSafeEqual } from 'node:crypto'
import { AppError, type Caller, type Log, newNumericId } from '@fleetgate/kit'
import type { PageOf, Secrets } from '@fleetgate/store'
import type { CredentialStore, CredentialWish } from './credentialStore.js'
import { accountName, createMqttAccounts, type MqttAccountsOptions } from './mqttAccounts.js'

export const credentialTypes = ['MQTT', 'SMTP', 'HTTP'] as const
export type CredentialType = (typeof credentialTypes)[number]

export interface Credential {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  userId: string
  type: CredentialType
  description: string
  accessKey: string
  /** Never leaves the service. */
  sealedSecret: string
  additionalData: Record<string, unknown>
  /** False for what a workflow keeps for itself: it is not listed. */
  isEditable: boolean
  /** The workflow that keeps it; it goes with that. */
  workflowId?: string | undefined
  /** The one of its type that is meant where none is named; its access key, `<type>@<tenant>`, does not change. */
  isDefault?: boolean | undefined
  /** Of the type MQTT: its access key, which is a user name at the broker, and others that are still to be dropped there. */
  accounts?: string[] | undefined
  createdAt: number
  updatedAt: number
  /** Counts the changes. */
  revision?: number | undefined
}

export interface CredentialDraft {
  type: CredentialType
  description: string
  accessKey: string
  accessSecret: string
  additionalData: Record<string, unknown>
}

/** A workflow that keeps secrets, for its owner. */
export interface Keeper {
  id: string
  tenantId: string
  userId: string
}

export type CredentialChange = Partial<Omit<CredentialDraft, 'type'>>

export interface CredentialsOptions {
  store: CredentialStore
  secrets: Secrets
  broker: Pick<MqttAccountsOptions, 'keep' | 'drop'>
  max: number
  log: Log
  now: () => number
}

export type Credentials = ReturnType<typeof createCredentials>

/** User names and secrets that workflows use: sealed at rest, written by people and never shown again. */
export function createCredentials({ store, secrets, broker, max, log, now }: CredentialsOptions) {
  async function find(id: string, { tenantId }: Pick<Caller, 'tenantId'>): Promise<Credential> {
    const found = await store.find(tenantId, id)
    if (!found?.isEditable) throw new AppError('not_found', 'there is no such credential')
    return found
  }

  type Kept = Pick<Credential, 'workflowId' | 'isDefault'>

  async function insert(draft: CredentialDraft, owner: { tenantId: string; userId: string }, kept: Kept = {}) {
    if ((await store.count(owner.tenantId)) >= max) {
      throw new AppError('quota_exceeded', `there are ${max} credentials already`)
    }
    const { accessSecret, ...rest } = draft
    const id = newNumericId(now())
    const { tenantId, userId } = owner
    const sealedSecret = secrets.seal(accessSecret, secretContext(tenantId, id))
    const about = { ...kept, isEditable: kept.workflowId === undefined, createdAt: now(), updatedAt: now() }
    const named = draft.type === 'MQTT' ? namedAccount(draft.accessKey, { tenantId, id, ...kept }) : {}
    const made: Credential = { ...rest, id, tenantId, userId, sealedSecret, ...about, ...named }
    await store.insert(made)
    return made
  }

  async function insertDefault(type: CredentialType, { tenantId, userId }: Caller): Promise<void> {
    const about = { type, description: '', accessKey: defaultKey(type, tenantId), additionalData: {} }
    // That of a mail server is nobody's to make up.
    const accessSecret = type === 'SMTP' ? '' : newSecret()
    await insert({ ...about, accessSecret }, { tenantId, userId }, { isDefault: true }).catch((error) => {
      // Another request was faster: its one counts.
      if (!(error instanceof AppError && error.code === 'conflict')) throw error
    })
  }

  const openOf = ({ tenantId, id, sealedSecret }: Credential) => secrets.open(sealedSecret, secretContext(tenantId, id))
  const accounts = createMqttAccounts({ ...broker, store, secretOf: openOf, log, now })

  async function keep(accessSecret: string, { tenantId, userId, id }: Keeper): Promise<string> {
    const about = { description: 'secret of a workflow', accessKey: '', additionalData: {} }
    return (await insert({ ...about, type: 'HTTP', accessSecret }, { tenantId, userId }, { workflowId: id })).id
  }

  /** One of the type MQTT stays until the broker has let go of its account. */
  async function remove(found: Credential): Promise<void> {
    const { tenantId, id, type } = found
    const read = () => (type === 'MQTT' ? store.unsettle(tenantId, id) : store.find(tenantId, id))
    for (let current = await read(); current; current = await read()) {
      await accounts.dropAll(current)
      if (await store.remove(current)) return
    }
  }

  /** Under the name that it has, or where that is another's or none that a user may have, under its id. */
  async function giveAccount(found: Credential): Promise<void> {
    const named = async (wanted: string) => store.update(found, accessKeyOf(found, wanted))
    await named(found.accessKey).catch((error) => {
      if (!(error instanceof AppError && nameRefusals.has(error.code))) throw error
      log.warn(
        { credentialId: found.id },
        'an older MQTT credential got its id as its name, as its own is not possible'
      )
      return named(found.id)
    })
    await accounts.settleSoon(found)
  }

  return {
    /** Tells the broker what a crash kept it from hearing, and of credentials that are older than their accounts. */
    async sweep(): Promise<void> {
      for (const found of await store.listWithoutAccount()) await giveAccount(found)
      await accounts.sweep()
    },

    async add(draft: CredentialDraft, caller: Caller): Promise<Credential> {
      const made = await insert(draft, caller)
      if (made.accounts) await accounts.settleSoon(made)
      return made
    },

    /** For a secret that somebody wrote into the design of a workflow. */
    keep,

    /** The id of a credential that stays as long as the workflow: of what another one keeps a copy is made. */
    async keepCopy(id: string, keeper: Keeper): Promise<string> {
      const found = await store.find(keeper.tenantId, id)
      if (found?.workflowId === undefined || found.workflowId === keeper.id) return id
      return keep(secrets.open(found.sealedSecret, secretContext(keeper.tenantId, id)), keeper)
    },

    /** What a workflow that is gone kept. */
    removeKept: (tenantId: string, workflowId: string): Promise<void> => store.removeKept(tenantId, workflowId),

    get: find,

    /** The one of this type that is meant where none is named. It is made, with a secret of its own, for whoever asks first. */
    async getDefault(type: CredentialType, caller: Caller): Promise<Credential> {
      if (!(await store.findDefault(caller.tenantId, type))) await insertDefault(type, caller)
      const found = await store.findDefault(caller.tenantId, type)
      if (!found) throw new AppError('conflict', 'the default credential is being changed by others')
      // Told again each time, because its secret is shown to be used at once.
      if (type === 'MQTT') await accounts.settle(found)
      return found
    },

    search: (
      wish: Omit<CredentialWish, 'tenantId'>,
      page: { offset: number; limit: number },
      caller: Caller
    ): Promise<PageOf<Credential>> => store.search({ ...wish, tenantId: caller.tenantId }, page),

    /** The access key of a default one stays: addresses and user names are made of it. */
    async update(id: string, { accessSecret, ...wanted }: CredentialChange, caller: Caller): Promise<void> {
      const sealed =
        accessSecret === undefined
          ? {}
          : { sealedSecret: secrets.seal(accessSecret, secretContext(caller.tenantId, id)) }
      for (let tries = 0; tries < maxTries; tries += 1) {
        const found = await find(id, caller)
        if (found.isDefault && found.type === 'SMTP') {
          throw new AppError('unsupported', 'mail goes out over the mail server of the product: change it at /v1/smtp')
        }
        const change = { ...wanted, ...sealed, ...accessKeyOf(found, wanted.accessKey) }
        if (!(await store.update(found, change))) continue
        if (found.type === 'MQTT') await accounts.settleSoon(found)
        return
      }
      throw new AppError('conflict', 'the credential is being changed by others, try again')
    },

    /** Those that are not there, and default ones, are passed over. */
    async remove(ids: string[], { tenantId }: Caller): Promise<void> {
      for (const found of await store.removable(tenantId, ids)) await remove(found)
    },

    async secretOf(tenantId: string, id: string): Promise<string> {
      const found = await store.find(tenantId, id)
      if (!found) throw new AppError('invalid_state', `there is no credential ${id.slice(0, 20)}`)
      return secrets.open(found.sealedSecret, secretContext(tenantId, id))
    },

    /** Those of the type HTTP that are there. */
    existing: (tenantId: string, ids: string[]) => store.existing(tenantId, ids, 'HTTP'),

    /**
     * The HTTP credential that an address names, by its id or, for the default one, by what stands before the tenant in its
     * access key; nothing where user name and password are not its own.
     */
    async verify(
      tenantId: string,
      name: string,
      given: { username: string; password: string }
    ): Promise<Credential | undefined> {
      const isId = /^[0-9]+$/.test(name)
      const found = isId ? await store.find(tenantId, name) : await store.findDefault(tenantId, 'HTTP')
      if (found?.type !== 'HTTP' || !found.isEditable) return undefined
      if (!isId && found.accessKey !== `${name}@${tenantId}`) return undefined
      const secret = secrets.open(found.sealedSecret, secretContext(tenantId, found.id))
      // Both are looked at whatever the first says.
      const isSame = [equal(given.username, found.accessKey), equal(given.password, secret)]
      return isSame.every(Boolean) ? found : undefined
    }
  }
}

const nameRefusals = new Set(['conflict', 'invalid_input'])

/** Of one that another was faster to change. */
const maxTries = 5

/** What the access key becomes: that of the type MQTT is the name of its account, and the old name is to be dropped. */
function accessKeyOf(found: Credential, wanted: string | undefined) {
  if (found.type !== 'MQTT') return { accessKey: found.isDefault ? undefined : wanted }
  const named = namedAccount(found.isDefault ? found.accessKey : (wanted ?? found.accessKey), found)
  return { ...named, accounts: [...new Set([...named.accounts, ...(found.accounts ?? [])])] }
}

function namedAccount(wanted: string, of: Pick<Credential, 'tenantId' | 'id' | 'isDefault'>) {
  const accessKey = accountName(wanted, of)
  if (!of.isDefault && accessKey === defaultKey('MQTT', of.tenantId)) {
    throw new AppError('conflict', `${accessKey} is the default credential`, { field: 'access_key' })
  }
  return { accessKey, accounts: [accessKey] }
}

function defaultKey(type: CredentialType, tenantId: string): string {
  return `${type.toLowerCase()}@${tenantId}`
}

/** Letters and digits of each kind, at most 32, as the web client and DMS ask for. */
function newSecret(): string {
  return `a${randomBytes(21).toString('base64').replace(/[+/]/g, 'x')}A1`
}

/** What the secret of a credential is sealed with. */
export function secretContext(tenantId: string, id: string): string {
  return `credential:${tenantId}:${id}`
}

function equal(given: string, kept: string): boolean {
  const left = Buffer.from(given)
  const right = Buffer.from(kept)
  return left.length === right.length && timingSafeEqual(left, right)
}
