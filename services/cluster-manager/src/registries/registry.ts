import { X509Certificate } from 'node:crypto'
import { AppError, type Caller, type Found, type Range } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { checkOwner, newHexId } from '../linkerFields.js'
import type { Logs } from '../logs/log.js'
import type { RegistryFilter, RegistryStore } from './registryStore.js'

/** A private registry of container images. */
export interface Registry {
  id: string
  tenantId: string
  userId: string
  name: string
  /** `host` or `host:port`. */
  address: string
  /** Speaks TLS that the hosts can check: by a public authority or by `ca`. */
  secure: boolean
  /** PEM of the authority, or empty. */
  ca: string
  username: string
  /** Empty where there is none. */
  sealedPassword: string
  isSystem: boolean
  isUsed: boolean
  createdAt: number
}

export interface RegistryDraft {
  name: string
  address: string
  secure: boolean
  ca: string
  username: string
  password: string
  isSystem: boolean
  userId?: string | undefined
}

export type Registries = ReturnType<typeof createRegistries>

export function registryContext(id: string): string {
  return `registry:${id}`
}

export function createRegistries({
  store,
  secrets,
  logs,
  now
}: {
  store: RegistryStore
  secrets: Secrets
  logs: Logs
  now: () => number
}) {
  async function get(id: string, caller: Caller): Promise<Registry> {
    const found = await store.find(caller.tenantId, id)
    if (!found) throw noSuchRegistry()
    return found
  }

  return {
    get,
    list: (filter: RegistryFilter, range: Range, caller: Caller): Promise<Found<Registry>> =>
      store.list(caller.tenantId, filter, range),

    create(draft: RegistryDraft, caller: Caller): Promise<Registry> {
      checkOwner(draft.userId, caller)
      checkCa(draft.ca)
      return logs.around(caller, 'create_registry', 'registry', draft.name, async () => {
        const at = now()
        const id = newHexId(at)
        const { password, userId: _asked, ...rest } = draft
        const registry = {
          ...rest,
          id,
          tenantId: caller.tenantId,
          userId: caller.userId,
          sealedPassword: password === '' ? '' : secrets.seal(password, registryContext(id)),
          isUsed: false,
          createdAt: at
        }
        await store.insert(registry)
        return registry
      })
    },

    /** Refuses where a cluster carries it. */
    async remove(id: string, caller: Caller): Promise<void> {
      const { name } = await get(id, caller)
      await logs.around(caller, 'delete_registry', 'registry', name, async () => {
        if (await store.removeUnused(caller.tenantId, id)) return
        await get(id, caller)
        throw inUse()
      })
    },

    /** Throws where the name is taken, or where a registry of this name is in use. */
    async validate(type: 'name' | 'used', name: string, caller: Caller): Promise<void> {
      const found = await store.findByName(caller.tenantId, caller.userId, name)
      if (type === 'name' && found) throw registryNameTaken()
      if (type === 'used' && found?.isUsed) throw inUse()
    }
  }
}

function checkCa(ca: string): void {
  if (ca === '') return
  try {
    new X509Certificate(ca)
  } catch (cause) {
    throw new AppError('invalid_input', 'ca_text is no certificate in PEM form', { field: 'ca_text' }, { cause })
  }
}

function noSuchRegistry(): AppError {
  return new AppError('not_found', 'there is no such registry')
}

export function registryNameTaken(): AppError {
  return new AppError('conflict', 'you have a registry of this name already', { field: 'name', wireCode: 'E57001' })
}

function inUse(): AppError {
  return new AppError('invalid_state', 'this registry is in use by a cluster', { wireCode: 'E57008' })
}
