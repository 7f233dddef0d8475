import { createPrivateKey, type KeyObject, randomBytes } from 'node:crypto'
import { AppError, type Caller } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { defaultTenant } from '../users/user.js'
import type { KeyStore, StoredKey } from './keyStore.js'
import { newKey, type PublicJwk, privateContext, seedContext, toJwk } from './newKey.js'

export interface SigningKeys {
  /** The key that signs now, and its name. */
  readonly kid: string
  readonly privateKey: KeyObject
  /** Makes the successor of a refresh token computable, by us alone. Every generation has the same. */
  readonly refreshSeed: Buffer
  /** Newest first: the keys of every token that may still be good, and the one that is about to sign. */
  readonly publicKeys: { kid: string; pem: string }[]
  readonly jwks: PublicJwk[]
  /** Reads what other replicas have made, and removes what no living token needs. */
  reload(): Promise<void>
  /** Makes the next key; of replicas at the same moment one does, and both answer its name. */
  rotate(caller: Caller): Promise<{ kid: string; activeAt: number }>
}

export interface SigningKeysOptions {
  store: KeyStore
  secrets: Secrets
  /** Seconds that an access token lives. */
  lifetime: number
  now: () => number
}

/**
 * A key is listed this long before it signs. Who met it just before it was stored may ask again by then: guards ask for
 * unknown keys at most once a second, and clocks of replicas differ a little.
 */
export const activeAfterMs = 5_000
/** Replicas read each other's keys this often; until then they sign with the older one. */
export const reloadEveryMs = 10_000
const spareMs = 60_000
const mostKeys = 5

interface OpenKey {
  kid: string
  generation: number
  pem: string
  jwk: PublicJwk
  privateKey: KeyObject
  /** The first key signs at once: there is no other. */
  activeAt: number
}

/** Reads the signing keys, making the first one where none exists. Replicas that start together agree on one. */
export async function openSigningKeys({ store, secrets, lifetime, now }: SigningKeysOptions): Promise<SigningKeys> {
  if ((await store.list()).length === 0) {
    const refreshSeed = randomBytes(32).toString('base64')
    await store.insert(await newKey(secrets, { generation: 1, refreshSeed, createdAt: now() }))
  }
  let keys: OpenKey[] = []
  let refreshSeed: Buffer = Buffer.alloc(0)

  async function reload(): Promise<void> {
    const stored = await store.list()
    const known = new Map(keys.map((key) => [key.kid, key]))
    const open = stored.map((key) => known.get(key.kid) ?? openKey(key, secrets))
    const needed = open.filter((_, index) => isNeeded(open[index - 1]))
    const oldest = stored.at(-1)
    if (!oldest) throw new Error('no signing key although one was stored')
    if (refreshSeed.length === 0) refreshSeed = seedOf(oldest, secrets)
    keys = needed
    const old = open.filter((key) => !needed.includes(key))
    if (old.length > 0) await store.remove(old.map(({ kid }) => kid))
  }

  /** A key is needed until the last token that it signed before its successor took over has expired. */
  function isNeeded(successor: OpenKey | undefined): boolean {
    return !successor || successor.activeAt + reloadEveryMs + spareMs + lifetime * 1000 > now()
  }

  function active(): OpenKey {
    const key = keys.find(({ activeAt }) => activeAt <= now()) ?? keys.at(-1)
    if (!key) throw new Error('no signing key is open')
    return key
  }

  async function rotate(caller: Caller): Promise<{ kid: string; activeAt: number }> {
    if (!caller.isSuperAdmin || caller.tenantId !== defaultTenant) {
      throw new AppError('forbidden', `only a super admin of tenant ${defaultTenant} may rotate the signing keys`)
    }
    await reload()
    const [newest] = keys
    if (!newest) throw new Error('no signing key is open')
    if (newest.activeAt <= now()) {
      if (keys.length >= mostKeys) {
        throw new AppError('invalid_state', `${mostKeys} keys are in use: wait until tokens of the oldest have expired`)
      }
      const seed = refreshSeed.toString('base64')
      await store.insert(
        await newKey(secrets, { generation: newest.generation + 1, refreshSeed: seed, createdAt: now() })
      )
      await reload()
    }
    const next = keys[0] ?? newest
    return { kid: next.kid, activeAt: next.activeAt }
  }

  await reload()
  return {
    get kid() {
      return active().kid
    },
    get privateKey() {
      return active().privateKey
    },
    get refreshSeed() {
      return refreshSeed
    },
    get publicKeys() {
      return keys.map(({ kid, pem }) => ({ kid, pem }))
    },
    get jwks() {
      return keys.map(({ jwk }) => jwk)
    },
    reload,
    rotate
  }
}

function openKey(stored: StoredKey, secrets: Secrets): OpenKey {
  const { kid, generation, publicPem, createdAt } = stored
  return {
    kid,
    generation,
    pem: publicPem,
    jwk: toJwk(kid, publicPem),
    privateKey: createPrivateKey(secrets.open(stored.sealedPrivatePem, privateContext(kid))),
    activeAt: generation === 1 ? 0 : createdAt + activeAfterMs
  }
}

function seedOf({ kid, sealedRefreshSeed }: StoredKey, secrets: Secrets): Buffer {
  return Buffer.from(secrets.open(sealedRefreshSeed, seedContext(kid)), 'base64')
}
