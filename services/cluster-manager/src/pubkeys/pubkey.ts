import { AppError, type Caller, type Found, type Range } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { checkOwner, newHexId } from '../linkerFields.js'
import type { Logs } from '../logs/log.js'
import type { PubkeyFilter, PubkeyStore } from './pubkeyStore.js'
import { generateRsaPair, type KeyPair, readPublicKey } from './sshKeys.js'

export interface Pubkey {
  /** 24 hexadecimal digits, as Linker's ids are. */
  id: string
  tenantId: string
  userId: string
  /** Name of the user who owns it. */
  owner: string
  name: string
  /** One OpenSSH line. */
  value: string
  /** Whether a cluster carries it. */
  isUsed: boolean
  /** Epoch ms. */
  createdAt: number
  updatedAt: number
}

export interface PubkeysOptions {
  store: PubkeyStore
  secrets: Secrets
  logs: Logs
  keyBits: number
  now: () => number
}

/** Pairs that wait to be made, of all tenants; one more is refused. */
const maxWaiting = 8

export type Pubkeys = ReturnType<typeof createPubkeys>

export function createPubkeys({ store, secrets, logs, keyBits, now }: PubkeysOptions) {
  let waiting = 0

  async function makePair(name: string): Promise<KeyPair> {
    if (waiting >= maxWaiting) {
      throw new AppError('rate_limited', 'too many key pairs are being made, try again later', { retryAfter: 5 })
    }
    waiting += 1
    try {
      return await generateRsaPair(keyBits, commentOf(name))
    } finally {
      waiting -= 1
    }
  }

  function draft(caller: Caller, name: string, value: string): Pubkey {
    const at = now()
    const { tenantId, userId, email } = caller
    return {
      id: newHexId(at),
      tenantId,
      userId,
      owner: email,
      name,
      value,
      isUsed: false,
      createdAt: at,
      updatedAt: at
    }
  }

  return {
    async upload(input: { name: string; value: string; userId?: string | undefined }, caller: Caller): Promise<Pubkey> {
      checkOwner(input.userId, caller)
      const pubkey = draft(caller, input.name, readPublicKey(input.value))
      await logs.around(caller, 'save_pubkey', 'pubkey', input.name, () => store.insert(pubkey))
      return pubkey
    },

    /** Makes a pair and keeps the private key, sealed, until its owner downloads it. */
    async generate(input: { name: string; userId?: string | undefined }, caller: Caller): Promise<Pubkey> {
      checkOwner(input.userId, caller)
      if (await store.isTaken(caller, input.name)) throw nameTaken()
      const pair = await makePair(input.name)
      const pubkey = draft(caller, input.name, pair.publicKey)
      const sealed = secrets.seal(pair.privatePem, privateKeyContext(pubkey.id))
      await logs.around(caller, 'create_pubkey', 'pubkey', input.name, () => store.insert(pubkey, sealed))
      return pubkey
    },

    /**
     * The private key of the newest pair of the caller that was not downloaded yet. Whoever gets it is the only one
     * who ever will: it is opened first and answered only by the request whose write removed it.
     */
    async download(userId: string, name: string | undefined, caller: Caller): Promise<string> {
      checkOwner(userId, caller)
      const waiting = await store.findSealed(caller, name)
      if (!waiting) throw new AppError('not_found', 'there is no private key to download: each can be downloaded once')
      const pem = secrets.open(waiting.sealed, privateKeyContext(waiting.id))
      if (await store.takeSealed(caller, waiting)) return pem
      throw new AppError('not_found', 'this private key was downloaded a moment ago')
    },

    list: (filter: PubkeyFilter, range: Range, caller: Caller): Promise<Found<Pubkey>> =>
      store.list(caller.tenantId, filter, range),

    async get(id: string, caller: Caller): Promise<Pubkey> {
      const found = await store.find(caller.tenantId, id)
      if (!found) throw noSuchKey()
      return found
    },

    /** A sealed private key goes with it. A super admin may also remove keys of others. */
    async remove(id: string, caller: Caller): Promise<void> {
      const found = await store.find(caller.tenantId, id)
      if (!found) throw noSuchKey()
      if (found.userId !== caller.userId && !caller.isSuperAdmin) {
        throw new AppError('forbidden', 'this key belongs to another user')
      }
      await logs.around(caller, 'delete_pubkey', 'pubkey', found.name, async () => {
        if (!(await store.removeUnused(caller.tenantId, id))) await explainKept(caller.tenantId, id)
      })
    }
  }

  async function explainKept(tenantId: string, id: string): Promise<never> {
    if (await store.find(tenantId, id)) throw new AppError('invalid_state', 'this key is in use by a cluster')
    throw noSuchKey()
  }
}

function noSuchKey(): AppError {
  return new AppError('not_found', 'there is no such key')
}

export function nameTaken(): AppError {
  return new AppError('conflict', 'you have a key of this name already', { field: 'name' })
}

/** What a private key is sealed with until it is downloaded. */
export function privateKeyContext(id: string): string {
  return `pubkey:${id}`
}

/** The name is free text; a comment in authorized_keys is one word. */
function commentOf(name: string): string {
  return name.replace(/[^\x21-\x7e]+/g, '_')
}
