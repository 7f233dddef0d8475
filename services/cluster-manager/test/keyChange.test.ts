import { createSecrets, loadKeyRing, openStore } from '@fleetgate/store'
import { changeKey, quietLog, startParts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { secretsContext } from '../src/clusters/clusterSecrets.js'
import { createClusterStore } from '../src/clusters/clusterStore.js'
import { keyContext, openKey } from '../src/clusters/madeHosts.js'
import { loginContext } from '../src/hosts/hostRunner.js'
import { providerContext } from '../src/providers/provider.js'
import { createProviderStore } from '../src/providers/providerStore.js'
import { registryContext } from '../src/registries/registry.js'
import { createRegistryStore } from '../src/registries/registryStore.js'
import { passwordContext } from '../src/smtp/smtp.js'
import { createSmtpStore } from '../src/smtp/smtpStore.js'
import { clusterEnv, ended } from './clusterSupport.js'
import { type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const env = { ...clusterEnv, SSH_CONNECT_MS: '500' }
const api = await startClusterManagerFor(t, parts, env)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
t.teardown(() => store.close())
const token = guardKeys.token({
  userId: 'ann',
  tenantId: 't1',
  email: 'ann@example.com',
  codes: ['cluster.view', 'cluster.edit', 'key.view', 'key.edit', 'smtp.view', 'smtp.edit']
})

async function make(path: string, body: object): Promise<string> {
  const reply = await api.as(token).post<Reply<{ _id: string }>>(path, body)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data._id
}

await t.test('everything that is kept sealed is sealed anew when the secrets key changes', async (t) => {
  const smtpId = await make('/v1/smtp', { name: 'a@example.com', address: 'mail.example.com', passwd: 'of-smtp' })
  const registry = { name: 'private', registry: '192.168.10.95:5000', username: 'puller', password: 'of-registry' }
  const registryId = await make('/v1/dockerregistries', registry)
  const openstackInfo = {
    'openstack-auth-url': 'https://cloud.example.com:5000/v3',
    'openstack-username': 'fleet',
    'openstack-password': 'of-provider',
    'openstack-tenant-name': 'till',
    'openstack-flavor-name': 'm1.small',
    'openstack-image-name': 'debian-13',
    'openstack-ssh-user': 'debian'
  }
  const providerId = await make('/v1/provider', { name: 'private', type: 'openstack', openstackInfo })
  await make('/v1/pubkey/userSelfCreate', { name: 'pair', user_id: 'ann' })
  const silent = { ip: '127.0.3.1', sshPort: 9, sshUser: 'root', privateNicName: 'eth0' }
  const clusterId = await make('/v1/cluster', {
    ...{ name: 'till', profile: 'nats', createCategory: 'compact', type: 'customized' },
    ...{ masterCount: 1, sharedCount: 1, pureslaveCount: 0 },
    masterNodes: [{ ...silent, password: 'of-master' }],
    sharedNodes: [{ ...silent, ip: '127.0.3.2', password: 'of-shared' }]
  })
  t.match(await ended(api.as(token), clusterId), { state: 'FAILED' })
  // As if a cloud made its machines: that takes a cloud.
  const older = createSecrets({ keys: loadKeyRing({ file: parts.keyFile }) })
  const cloud = { providerId, sealedKey: older.seal('of-cloud', keyContext(clusterId)) }
  await store.connection.collection('clusters').updateOne({ _id: clusterId as never }, { $set: { cloud } })

  const change = await changeKey(t, parts, 'fleetgate_cluster_manager')
  t.same(change.before, { clusters: 4, providers: 1, pubkeys: 1, registries: 1, smtp_servers: 1 })
  await startClusterManagerFor(t, parts, { ...env, SECRETS_KEY_FILE: change.both })
  await change.sealedAnew()

  const newest = createSecrets({ keys: loadKeyRing({ file: change.newest }) })
  const [provider, kept, [server]] = [
    await createProviderStore(store).find('t1', providerId),
    await createRegistryStore(store).find('t1', registryId),
    await createSmtpStore(store).all('t1')
  ]
  t.equal(newest.open(provider?.sealedSecret ?? '', providerContext(providerId)), 'of-provider')
  t.equal(newest.open(kept?.sealedPassword ?? '', registryContext(registryId)), 'of-registry')
  t.equal(newest.open(server?.sealed ?? '', passwordContext(smtpId)), 'of-smtp')
  const cluster = await createClusterStore(store).find('t1', clusterId)
  t.ok(newest.open(cluster?.sealedSecrets ?? '', secretsContext(clusterId)))
  t.equal(cluster?.cloud && openKey(clusterId, cluster.cloud, newest), 'of-cloud')
  const logins = cluster?.hosts.map(({ id, sealedLogin }) => JSON.parse(newest.open(sealedLogin, loginContext(id))))
  t.match(logins, [{ password: 'of-master' }, { password: 'of-shared' }])

  const later = await startClusterManagerFor(t, parts, { ...env, SECRETS_KEY_FILE: change.newest })
  t.match((await later.as(token).get<string>('/v1/pubkey/downLoadKey/ann')).text, /PRIVATE KEY/)
})
