import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { Parts } from './parts.js'
import { quietLog } from './quietLog.js'
import type { Teardown } from './teardown.js'
import { until } from './until.js'

export interface KeyChange {
  /** For SECRETS_KEY_FILE: the new key first, the one of the parts below it. */
  both: string
  /** The new key alone. */
  newest: string
  /** What was sealed before: so many texts, by collection. */
  before: Record<string, number>
  /** Resolves when all of that is sealed with the new key, and nothing with the older one. */
  sealedAnew(): Promise<void>
}

/** The files of a change of the secrets key, and a look at all that a service keeps. */
export async function changeKey(t: Teardown, parts: Parts, database: string): Promise<KeyChange> {
  const [both, newest] = [`${parts.keyFile}.both`, `${parts.keyFile}.newest`]
  const line = `k2:${randomBytes(32).toString('base64')}\n`
  writeFileSync(newest, line, { mode: 0o600 })
  writeFileSync(both, line + readFileSync(parts.keyFile, 'utf8'), { mode: 0o600 })
  // Most tests have nothing to do with it, and it takes a while to load.
  const { openStore } = await import('@fleetgate/store')
  const store = await openStore({ uri: parts.mongoUri, database, log: quietLog })
  t.teardown(() => store.close())

  async function sealedBy(keyId: string): Promise<Record<string, number>> {
    const names = (await store.connection.listCollections()).map(({ name }) => name).sort()
    const counts: Record<string, number> = {}
    for (const name of names) {
      const kept = JSON.stringify(await store.connection.collection(name).find().toArray())
      const count = kept.split(`"v1.${keyId}.`).length - 1
      if (count > 0) counts[name] = count
    }
    return counts
  }

  const before = await sealedBy('k1')
  return {
    both,
    newest,
    before,
    async sealedAnew() {
      const wanted = JSON.stringify([{}, before])
      let found = ''
      const isDone = async () => {
        found = JSON.stringify([await sealedBy('k1'), await sealedBy('k2')])
        return found === wanted
      }
      await until(isDone, { what: 'secrets sealed anew' }).catch((cause) => {
        throw new Error(`old and new: ${found} instead of ${wanted}`, { cause })
      })
    }
  }
}
