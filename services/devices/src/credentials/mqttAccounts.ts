import { AppError, type Log } from '@fleetgate/kit'
import type { Credential } from './credential.js'
import type { CredentialStore } from './credentialStore.js'

export interface MqttAccountsOptions {
  store: Pick<CredentialStore, 'find' | 'settled' | 'listUnsettled'>
  secretOf: (credential: Credential) => string
  /** Makes the MQTT user of this name, or gives it this password. */
  keep(account: { tenantId: string; username: string; password: string }): Promise<void>
  /** Takes it away, where it is there. */
  drop(account: { tenantId: string; username: string }): Promise<void>
  log: Log
  now: () => number
}

export type MqttAccounts = ReturnType<typeof createMqttAccounts>

/** Younger ones are with the request that changed them. */
const graceMs = 10_000
/** Names of MQTT users, as broker-proxy takes them. */
const maxLength = 128

/**
 * Credentials of the type MQTT as users of the broker. A credential is written first, with a mark, and what the broker is told
 * may be repeated: a sweep finishes what a crash, or a broker that was away, left.
 */
export function createMqttAccounts({ store, secretOf, keep, drop, log, now }: MqttAccountsOptions) {
  async function tell(credential: Credential): Promise<void> {
    const { tenantId, accessKey, accounts = [] } = credential
    await keep({ tenantId, username: accessKey, password: secretOf(credential) })
    for (const username of accounts) if (username !== accessKey) await drop({ tenantId, username })
  }

  /** Tells the broker of a credential as it stands now. Rejects where the broker cannot be told. */
  async function settle(read: Credential): Promise<void> {
    let told = read
    for (;;) {
      const credential = await store.find(read.tenantId, read.id)
      // Deleted meanwhile: what was told before that may have come to the broker after it.
      if (!credential) return dropAll(told)
      await tell(credential)
      // Where it is another by now, whoever changed it may have been overtaken by this one.
      if (await store.settled(credential)) return
      told = credential
    }
  }

  async function dropAll({ tenantId, accounts = [] }: Credential): Promise<void> {
    for (const username of accounts) await drop({ tenantId, username })
  }

  return {
    settle,

    /** What fails is done later. */
    async settleSoon(credential: Credential): Promise<void> {
      await settle(credential).catch((err) =>
        log.warn({ err, credentialId: credential.id }, 'MQTT account not told to the broker, trying again later')
      )
    },

    dropAll,

    async sweep(): Promise<void> {
      for (const credential of await store.listUnsettled(now() - graceMs)) await this.settleSoon(credential)
    }
  }
}

/**
 * The name of the MQTT user: names are unique on the broker, so the tenant stands at their end, as in that of the default
 * credential. Throws `invalid_input` where no user may have it.
 */
export function accountName(wanted: string, { tenantId, id }: Pick<Credential, 'tenantId' | 'id'>): string {
  const own = wanted || id
  const name = own.endsWith(`@${tenantId}`) ? own : `${own}@${tenantId}`
  const field = 'access_key'
  if (/\p{Cc}/u.test(name)) throw new AppError('invalid_input', `${field} has control characters`, { field })
  if (name.length > maxLength) {
    throw new AppError('invalid_input', `${field} is longer than ${maxLength} characters with @${tenantId}`, { field })
  }
  return name
}
