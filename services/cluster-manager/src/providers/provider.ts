import { AppError, type Caller, type Found, type Range } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { checkOwner, newHexId } from '../linkerFields.js'
import type { Logs } from '../logs/log.js'
import type { ProviderType } from './driver.js'
import { isGiven, type Settings, secretField, sections } from './providerFields.js'
import type { ProviderFilter, ProviderStore } from './providerStore.js'

/** An account at a cloud that machines are made with. */
export interface Provider {
  id: string
  tenantId: string
  userId: string
  name: string
  type: ProviderType
  sshUser: string
  sshPort: number
  settings: Settings
  /** Empty where none was given. */
  sealedSecret: string
  isUsed: boolean
  /** Counts changes, so that two at once do not mix. */
  revision: number
  createdAt: number
  updatedAt: number
}

export interface ProviderDraft {
  name: string
  type: ProviderType
  sshUser: string
  sshPort: number
  settings: Settings
  secret: string
  userId?: string | undefined
}

export interface ProvidersOptions {
  store: ProviderStore
  secrets: Secrets
  logs: Logs
  /** Asks the cloud; throws an AppError. */
  check: (provider: Provider) => Promise<void>
  now: () => number
}

export type Providers = ReturnType<typeof createProviders>

export function providerContext(id: string): string {
  return `provider:${id}`
}

export function createProviders({ store, secrets, logs, check, now }: ProvidersOptions) {
  async function get(id: string, { tenantId }: Caller): Promise<Provider> {
    const found = await store.find(tenantId, id)
    if (!found) throw new AppError('not_found', 'there is no such provider')
    return found
  }

  function sealed(id: string, secret: string): string {
    return isGiven(secret) ? secrets.seal(secret, providerContext(id)) : ''
  }

  async function exchange(before: Provider, draft: ProviderDraft): Promise<void> {
    const { secret, userId: _userId, ...given } = draft
    const isKept = !isGiven(secret)
    if (isKept && before.sealedSecret !== '' && !isSameDoor(before, draft)) {
      // Else whoever may edit, and may not read, could have it sent to a server of their own.
      const field = secretField(draft.type, draft.settings)
      const reason = 'must be given anew where type, openstack-auth-url or the kind of log-in change'
      throw new AppError('invalid_input', `${field} ${reason}`, { field })
    }
    const provider: Provider = {
      ...before,
      ...given,
      sealedSecret: isKept ? before.sealedSecret : sealed(before.id, secret),
      revision: before.revision + 1,
      updatedAt: now()
    }
    const isMoved = !isSamePlace(before, draft)
    if (await store.replace(provider, { revision: before.revision, unused: isMoved })) return
    const found = await store.find(before.tenantId, before.id)
    if (found?.isUsed && isMoved) throw inUse('its type and place cannot change')
    throw new AppError('conflict', 'this provider was changed a moment ago: read it again')
  }

  return {
    get,
    list: (filter: ProviderFilter, range: Range, caller: Caller): Promise<Found<Provider>> =>
      store.list(caller.tenantId, filter, range),

    create(draft: ProviderDraft, caller: Caller): Promise<Provider> {
      checkOwner(draft.userId, caller)
      checkAuthUrl(draft)
      return logs.around(caller, 'create_provider', 'provider', draft.name, async () => {
        const at = now()
        const id = newHexId(at)
        const { secret, ...rest } = draft
        const provider: Provider = {
          ...rest,
          id,
          tenantId: caller.tenantId,
          userId: caller.userId,
          sealedSecret: sealed(id, secret),
          isUsed: false,
          revision: 1,
          createdAt: at,
          updatedAt: at
        }
        await store.insert(provider)
        return provider
      })
    },

    /** Replaces everything; a secret that is absent or the mask stays. */
    async replace(id: string, draft: ProviderDraft, caller: Caller): Promise<void> {
      const before = await get(id, caller)
      checkAuthUrl(draft)
      await logs.around(caller, 'update_provider', 'provider', draft.name, () => exchange(before, draft))
    },

    /** Refuses where a cluster has machines of it. */
    async remove(id: string, caller: Caller): Promise<void> {
      const { name } = await get(id, caller)
      await logs.around(caller, 'delete_provider', 'provider', name, async () => {
        if (await store.removeUnused(caller.tenantId, id)) return
        await get(id, caller)
        throw inUse('it cannot be deleted')
      })
    },

    /** Throws where the name is taken. */
    async validate(name: string, { tenantId, userId }: Caller): Promise<void> {
      if (await store.isNameTaken(tenantId, userId, name)) throw providerNameTaken('provider_name')
    },

    /** Asks the cloud whether the log-in works and what the settings name is there. */
    async check(id: string, caller: Caller): Promise<void> {
      await check(await get(id, caller))
    }
  }
}

function checkAuthUrl({ settings }: ProviderDraft): void {
  const field = 'openstack-auth-url'
  const text = settings[field] ?? ''
  if (text === '') return
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isGood = url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
  if (!isGood)
    throw new AppError('invalid_input', `${field} must be an http or https address without a log-in in it`, { field })
}

/** Whom the secret is told to, and as what. */
function isSameDoor(a: Provider, b: ProviderDraft): boolean {
  const isSameUrl = a.settings['openstack-auth-url'] === b.settings['openstack-auth-url']
  return a.type === b.type && isSameUrl && secretField(a.type, a.settings) === secretField(b.type, b.settings)
}

function isSamePlace(a: Provider, b: ProviderDraft): boolean {
  return a.type === b.type && sections[a.type].place.every((name) => a.settings[name] === b.settings[name])
}

export function providerNameTaken(field = 'name'): AppError {
  return new AppError('conflict', 'you have a provider of this name already', { field, wireCode: 'E50003' })
}

function inUse(what: string): AppError {
  return new AppError('invalid_state', `clusters have machines of this provider: ${what}`, { wireCode: 'E50016' })
}
