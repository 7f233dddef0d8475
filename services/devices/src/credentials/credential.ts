import { timingSafeEqual } from 'node:crypto'
import { AppError, type Caller, newNumericId } from '@fleetgate/kit'
import type { PageOf, Secrets } from '@fleetgate/store'
import type { CredentialStore, CredentialWish } from './credentialStore.js'

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
  createdAt: number
  updatedAt: number
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
  max: number
  now: () => number
}

export type Credentials = ReturnType<typeof createCredentials>

/** User names and secrets that workflows use: sealed at rest, written by people and never shown again. */
export function createCredentials({ store, secrets, max, now }: CredentialsOptions) {
  async function find(id: string, { tenantId }: Pick<Caller, 'tenantId'>): Promise<Credential> {
    const found = await store.find(tenantId, id)
    if (!found?.isEditable) throw new AppError('not_found', 'there is no such credential')
    return found
  }

  async function insert(draft: CredentialDraft, owner: { tenantId: string; userId: string }, workflowId?: string) {
    if ((await store.count(owner.tenantId)) >= max) {
      throw new AppError('quota_exceeded', `there are ${max} credentials already`)
    }
    const { accessSecret, ...rest } = draft
    const id = newNumericId(now())
    const { tenantId, userId } = owner
    const sealedSecret = secrets.seal(accessSecret, contextOf(tenantId, id))
    const about = { isEditable: workflowId === undefined, workflowId, createdAt: now(), updatedAt: now() }
    await store.insert({ ...rest, id, tenantId, userId, sealedSecret, ...about })
    return id
  }

  function keep(accessSecret: string, { tenantId, userId, id }: Keeper): Promise<string> {
    const about = { description: 'secret of a workflow', accessKey: '', additionalData: {} }
    return insert({ ...about, type: 'HTTP', accessSecret }, { tenantId, userId }, id)
  }

  return {
    add: (draft: CredentialDraft, caller: Caller): Promise<string> => insert(draft, caller),

    /** For a secret that somebody wrote into the design of a workflow. */
    keep,

    /** The id of a credential that stays as long as the workflow: of what another one keeps a copy is made. */
    async keepCopy(id: string, keeper: Keeper): Promise<string> {
      const found = await store.find(keeper.tenantId, id)
      if (found?.workflowId === undefined || found.workflowId === keeper.id) return id
      return keep(secrets.open(found.sealedSecret, contextOf(keeper.tenantId, id)), keeper)
    },

    /** What a workflow that is gone kept. */
    removeKept: (tenantId: string, workflowId: string): Promise<void> => store.removeKept(tenantId, workflowId),

    get: find,

    search: (
      wish: Omit<CredentialWish, 'tenantId'>,
      page: { offset: number; limit: number },
      caller: Caller
    ): Promise<PageOf<Credential>> => store.search({ ...wish, tenantId: caller.tenantId }, page),

    async update(id: string, { accessSecret, ...change }: CredentialChange, caller: Caller): Promise<void> {
      await find(id, caller)
      const sealed =
        accessSecret === undefined ? {} : { sealedSecret: secrets.seal(accessSecret, contextOf(caller.tenantId, id)) }
      await store.update(caller.tenantId, id, { ...change, ...sealed })
    },

    /** Those that are not there are passed over. */
    remove: (ids: string[], { tenantId }: Caller): Promise<void> => store.remove(tenantId, ids),

    async secretOf(tenantId: string, id: string): Promise<string> {
      const found = await store.find(tenantId, id)
      if (!found) throw new AppError('invalid_state', `there is no credential ${id.slice(0, 20)}`)
      return secrets.open(found.sealedSecret, contextOf(tenantId, id))
    },

    /** Those of the type HTTP that are there. */
    existing: (tenantId: string, ids: string[]) => store.existing(tenantId, ids, 'HTTP'),

    /** The credential of this id, where user name and password are its own. */
    async verify(tenantId: string, id: string, given: { username: string; password: string }): Promise<boolean> {
      const found = await store.find(tenantId, id)
      if (found?.type !== 'HTTP' || !found.isEditable) return false
      const secret = secrets.open(found.sealedSecret, contextOf(tenantId, id))
      // Both are looked at whatever the first says.
      const isSame = [equal(given.username, found.accessKey), equal(given.password, secret)]
      return isSame.every(Boolean)
    }
  }
}

function contextOf(tenantId: string, id: string): string {
  return `credential:${tenantId}:${id}`
}

function equal(given: string, kept: string): boolean {
  const left = Buffer.from(given)
  const right = Buffer.from(kept)
  return left.length === right.length && timingSafeEqual(left, right)
}
