import { connectBus, createCreatorsOf, createGuard, type Log } from '@fleetgate/kit'
import { createSecrets, loadKeyRing, openStore } from '@fleetgate/store'
import { createClusterManagerApp } from './app.js'
import type { Config } from './config.js'
import { createMailing } from './mail/mailing.js'
import { createPubkeys } from './pubkeys/pubkey.js'
import { createPubkeyStore } from './pubkeys/pubkeyStore.js'

export interface StartOptions {
  config: Config
  log: Log
  /** Takes what must be closed at the end, in reverse order. */
  add: (name: string, close: () => Promise<unknown> | unknown) => void
}

/** Connects, wires and listens. */
export async function startClusterManager({ config, log, add }: StartOptions): Promise<{ port: number }> {
  const secrets = createSecrets({ keys: loadKeyRing({ file: config.SECRETS_KEY_FILE, value: config.SECRETS_KEY }) })
  const store = await openStore({ uri: config.MONGODB_URI, database: 'fleetgate_cluster_manager', log })
  add('store', () => store.close())
  const bus = await connectBus({ name: 'cluster-manager', url: config.NATS_URL, log })
  add('bus', () => bus.close())
  const pubkeyStore = createPubkeyStore(store)
  const mailing = createMailing({ store, secrets, bus, log, config, now: Date.now })
  await store.sync()
  add('mail', await mailing.start())
  const guard = await createGuard({ bus, log })
  add('guard', () => guard.close())

  const app = createClusterManagerApp({
    log,
    guard,
    pubkeys: createPubkeys({ store: pubkeyStore, secrets, keyBits: config.KEY_BITS, now: Date.now }),
    smtp: mailing.smtp,
    mails: mailing.mails,
    creatorsOf: createCreatorsOf(bus, log),
    checks: { mongodb: () => store.ready(), nats: () => bus.isReady() },
    checkReplies: config.CHECK_REPLIES
  })
  const listening = await app.listen(config.PORT, config.HOST)
  add('http', () => listening.close())
  return { port: listening.port }
}
