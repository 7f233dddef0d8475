import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createSecrets, loadKeyRing, openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { type Cluster, noFigures } from '../src/clusters/cluster.js'
import { createClusterStore } from '../src/clusters/clusterStore.js'
import { createWatch } from '../src/components/watch.js'
import { loginContext } from '../src/hosts/hostRunner.js'
import type { Shared } from '../src/hosts/input.js'
import { newOperation } from '../src/operations/operation.js'
import { loadProfiles, type Profile } from '../src/profiles/profile.js'

const parts = await startParts(t)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
t.teardown(() => store.close())
const clusters = createClusterStore(store)
const secrets = createSecrets({ keys: loadKeyRing({ value: `one:${Buffer.alloc(32, 1).toString('base64')}` }) })
const profile = loadProfiles(fileURLToPath(new URL('../../profiles', import.meta.url)), {}).get('nats') as Profile
const silent = createServer().listen(0, '127.0.0.1')
await once(silent, 'listening')
t.teardown(() => silent.close())

async function running(id: string, name: string): Promise<void> {
  const [at, by] = [Date.now(), { userId: 'ann', name: 'ann' }]
  const host = {
    ...{ id: `host-${name}`, name, role: 'master' as const, status: 'RUNNING' as const, nic: '', privateIp: '' },
    ...{ ip: '127.0.0.1', port: (silent.address() as AddressInfo).port, user: 'root', isTouched: true },
    sealedLogin: secrets.seal(JSON.stringify({ password: 'any' }), loginContext(`host-${name}`)),
    ...{ figures: noFigures, createdAt: at, updatedAt: at }
  }
  const cluster: Cluster = {
    ...{ id, name, tenantId: `tenant-${name}`, userId: 'ann', owner: 'ann', profile: 'nats', category: 'compact' },
    ...{
      status: 'RUNNING',
      hosts: [host],
      pubkeys: [],
      registries: [],
      sealedSecrets: '',
      options: {},
      createdAt: at,
      updatedAt: at
    },
    operation: newOperation({ id: `${id}-1`, kind: 'create', by, hosts: [host] }, at)
  }
  await clusters.insert(cluster)
  await store.connection.collection('clusters').updateOne({ _id: id as never }, { $unset: { open: '' } })
}

await t.test('a cluster that cannot be asked holds up no other, and a silent host not the end', async (t) => {
  await store.sync()
  await running('a', 'broken')
  await running('b', 'silent')
  const shared = async (cluster: Cluster): Promise<Shared> => {
    if (cluster.name === 'broken') throw new Error('its profile is gone')
    return { cluster, profile, files: [], secrets: {}, registries: [], keys: [], storeMegabytes: 1, version: '' }
  }
  const runner = { secrets, settings: { connectMs: 60_000, lostMs: 0 } }
  const deps = { shared, runner, store: clusters, everyMs: 60_000, now: Date.now, log: quietLog }
  const watch = createWatch(deps)
  const asked = once(silent, 'connection')
  watch.start()
  const [socket] = await asked
  t.teardown(() => socket.destroy())
  const begun = Date.now()
  await watch.stop()
  t.ok(Date.now() - begun < 30_000, 'it does not wait for the host')
})
