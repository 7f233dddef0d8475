import { connectBus } from '@fleetgate/contracts'
import { createGuard, type GuardOptions, type Logger, type Shutdown } from '@fleetgate/kit'
import { createSecrets, loadKeyRing, openStore, startResealing } from '@fleetgate/store'
import { createBrokerProxy } from './app.js'
import { createBroker } from './broker/createBroker.js'
import type { Config } from './config.js'
import { openFileParts } from './files/files.js'
import { lockFolder } from './folderLock.js'

export interface StartOptions {
  config: Config
  log: Logger
  add: Shutdown['add']
  /** For tests: in place of auth's public keys. */
  keys?: GuardOptions['keys']
}

/** Connects, opens the broker, then the http side: who finds this service ready finds its MQTT port open. */
export async function startBrokerProxy({
  config,
  log,
  add,
  keys
}: StartOptions): Promise<{ port: number; mqttPort: number; mqttPorts: ReadonlyMap<string, number> }> {
  // First: settings that are not whole stop us before anything is connected.
  const driver = await createBroker(config, log)
  // Before presence is told that an earlier process is gone. With a remote broker the folder is a cache that replicas may share.
  if (!driver.isRemote) {
    const lock = await lockFolder(config.DATA_DIR, log)
    add('lock', () => lock.release())
  }
  const secrets = createSecrets({ keys: loadKeyRing({ file: config.SECRETS_KEY_FILE, value: config.SECRETS_KEY }) })
  const bus = await connectBus({ name: 'broker-proxy', url: config.NATS_URL, log })
  add('bus', () => bus.close())
  const store = await openStore({ uri: config.MONGODB_URI, database: 'fleetgate_broker_proxy', log })
  add('store', () => store.close())
  const guard = await createGuard({ bus, log, keys })
  add('guard', () => guard.close())
  const fileParts = await openFileParts({ bus, dir: config.DATA_DIR, cacheBytes: config.CACHE_BYTES, log })
  const service = createBrokerProxy({ config, store, bus, guard, secrets, driver, fileParts, log })
  await store.sync()
  const resealing = startResealing({ secrets, places: store.sealedPlaces, log })
  add('resealing', () => resealing.stop())
  add('mqtt', () => service.close())
  const { mqttPort, mqttPorts } = await service.open()
  const { port } = await service.http.listen(config.PORT, config.HOST)
  add('http', () => service.http.close(config.DRAIN_MS))
  return { port, mqttPort, mqttPorts }
}
