import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '@fleetgate/store'
import { quietLog, sshKeyPair, startParts, testGuardKeys } from '@fleetgate/testkit'
import ssh2 from 'ssh2'
import t from 'tap'
import { createKeyReader } from '../src/ssh/keyReader.js'
import { readPrivateKey } from '../src/ssh/privateKey.js'
import { type ClusterView, clusterEnv, ended } from './clusterSupport.js'
import { type Failure, type Reply, serveKeys, silentTenant, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const service = await startClusterManagerFor(t, parts, { ...clusterEnv, SSH_CONNECT_MS: '500' })
const codes = ['cluster.view', 'cluster.edit', 'key.view', 'key.edit']
const user = (userId: string, tenantId = 't1') => service.as(guardKeys.token({ userId, tenantId, codes }))
const ann = user('ann')
const key = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' }
}).privateKey
const privateKey = Buffer.from(key).toString('base64')

/** Addresses of this computer where nothing listens. */
const node = (end: number, more: object = {}) => ({
  ip: `127.0.3.${end}`,
  sshPort: 9,
  sshUser: 'root',
  privateKey,
  privateNicName: 'eth0',
  ...more
})
const compact = (name: string, from: number) => ({
  name,
  profile: 'nats',
  createCategory: 'compact',
  masterCount: 1,
  sharedCount: 1,
  pureslaveCount: 0,
  masterNodes: [node(from)],
  sharedNodes: [node(from + 1)],
  type: 'customized',
  unknown: 'ignored'
})

await t.test('refuses, with the code of the original, what cannot be a cluster', async (t) => {
  const good = compact('bad', 1)
  const long = (network: number) =>
    Array.from({ length: 200 }, (_, end) => node(1, { ip: `127.1.${network}.${end}`, password: 'x'.repeat(16_384) }))
  const huge = { ...good, sharedCount: 200, pureslaveCount: 200, sharedNodes: long(1), pureslaveNodes: long(2) }
  const cases: [string, object, number, string, RegExp][] = [
    ['no name', { ...good, name: undefined }, 400, 'E50011', /name/],
    ['long name', { ...good, name: 'x'.repeat(16) }, 400, 'E50011', /name/],
    ['operator as name', { ...good, name: { $gt: '' } }, 400, 'E50011', /name/],
    ['cloud', { ...good, type: 'openstack' }, 400, 'E12002', /providerId/],
    ['unknown cloud', { ...good, type: 'azure' }, 400, 'E50012', /type/],
    ['profile', { ...good, profile: '../etc' }, 400, 'E12002', /profile/],
    ['no count', { ...good, masterCount: -1 }, 400, 'E50010', /masterCount/],
    ['count', { ...good, sharedCount: 2 }, 400, 'E50010', /sharedCount/],
    ['no shared', { ...good, sharedCount: 0, sharedNodes: [] }, 400, 'E50010', /shared/],
    ['two masters', { ...good, masterCount: 2, masterNodes: [node(1), node(3)] }, 400, 'E50010', /masters/],
    ['small ha', { ...good, createCategory: 'ha' }, 400, 'E50010', /ha/],
    ['same address', { ...good, sharedNodes: [node(1)] }, 409, 'E50019', /twice/],
    ['more than a document holds', huge, 400, 'E50010', /401 hosts .* more than one cluster can hold/],
    ['no address', { ...good, sharedNodes: [node(2, { ip: 'host; rm -rf /' })] }, 400, 'E12002', /ip/],
    ['an address in another form', { ...good, sharedNodes: [node(2, { ip: '127.0.0.02' })] }, 400, 'E12002', /ip/],
    ['user', { ...good, sharedNodes: [node(2, { sshUser: '$(id)' })] }, 400, 'E12002', /sshUser/],
    ['no login', { ...good, sharedNodes: [node(2, { privateKey: undefined })] }, 400, 'E12002', /privateKey/],
    [
      'no key',
      { ...good, sharedNodes: [node(2, { privateKey: 'LSdWLSeCRpyJT3BSpdE1' })] },
      400,
      'E12002',
      /privateKey/
    ],
    ['nic', { ...good, sharedNodes: [node(2, { privateNicName: 'eth0; x' })] }, 400, 'E12002', /privateNicName/],
    ['registry', { ...good, dockerRegistries: [{ _id: '0'.repeat(24) }] }, 404, 'E50004', /dockerRegistries/],
    ['owner', { ...good, user_id: 'ben' }, 403, 'E12004', /user_id/]
  ]
  for (const [what, body, status, code, message] of cases) {
    const reply = await ann.post<Failure>('/v1/cluster', body)
    t.equal(reply.status, status, `${what}: ${reply.text}`)
    t.match(reply.body, { success: false, error: { code, message } }, what)
  }
  t.same((await ann.get<Reply<ClusterView[]>>('/v1/cluster')).body.data, [], 'nothing of them is kept')
})

await t.test('lets one of ten equal requests through, and no address into two clusters', async (t) => {
  const replies = await Promise.all(
    Array.from({ length: 10 }, (_, at) => ann.post<Failure>('/v1/cluster', compact('same', 20 + 2 * at)))
  )
  t.same(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)])
  t.match(replies.find(({ status }) => status === 409)?.body.error.code, 'E50003')
  const again = await Promise.all(
    ['one', 'two', 'three'].map((name) => ann.post<Failure>('/v1/cluster', compact(name, 60)))
  )
  t.same(again.map(({ status }) => status).sort(), [200, 409, 409])
  t.match(again.find(({ status }) => status === 409)?.body.error.code, 'E50019')
  const taken = await ann.get<Failure>('/v1/cluster/validate?clustername=same&userid=ann')
  t.match([taken.status, taken.body.error.code], [409, 'E50003'])
  t.same((await ann.get('/v1/cluster/validate?clustername=free')).body, { success: true })
  for (const query of ['clustername=not%20good', 'clustername=', ''])
    t.match(await ann.get<Failure>(`/v1/cluster/validate?${query}`), {
      status: 400,
      body: { error: { code: 'E50011' } }
    })
})

await t.test('lists with filters, order, pages and a count; shows and takes nothing of other tenants', async (t) => {
  const lea = user('lea', 'lists')
  for (const [index, name] of ['b', 'a', 'c'].entries()) {
    const { _id } = (await lea.post<Reply<ClusterView>>('/v1/cluster', compact(name, 80 + 2 * index))).body.data
    t.match(await ended(lea, _id), {
      state: 'FAILED',
      problems: [{ message: /cannot be reached/ }, { message: /cannot be reached/ }]
    })
  }
  const names = async (query: string) =>
    (await lea.get<Reply<ClusterView[]>>(`/v1/cluster${query}`)).body.data.map(({ name }) => name)
  t.same(await names('?sort=name&limit=2'), ['a', 'b'])
  t.same(await names('?sort=-name&skip=1'), ['b', 'a'])
  t.same(await names('?status=FAILED&name=c&user_id=lea&username='), ['c'])
  t.same(await names('?status=RUNNING'), [])
  t.same(await names('?status=unterminated&username=admin@example.com&sort=name'), ['a', 'b', 'c'])
  const counted = await lea.get<Reply<ClusterView[]>>('/v1/cluster?count=true&limit=1')
  t.equal(counted.body.count, 3)
  t.equal(counted.headers.get('x-object-count'), '3')
  for (const query of ['?sort=sealedSecrets', '?status=GONE', '?limit=-1'])
    t.equal((await lea.get(`/v1/cluster${query}`)).status, 400, query)
  const [first] = counted.body.data as [ClusterView]
  const other = user('lea', 'others')
  for (const path of ['', '/hosts', '/components', '/access'])
    t.equal((await other.get(`/v1/cluster/${first._id}${path}`)).status, 404, path)
  t.equal((await other.delete(`/v1/cluster/${first._id}`)).status, 404)
  for (const path of ['', '/events'])
    t.equal((await other.get(`/v1/operations/${first.operationId}${path}`)).status, 404)
  t.equal((await other.post(`/v1/operations/${first.operationId}/retry`)).status, 404)
  t.same((await other.get<Reply<unknown[]>>('/v1/logs')).body.data, [])
})

await t.test('refuses what a failed cluster cannot do, and retries and deletes it', async (t) => {
  const max = user('max', 'failed')
  const { _id, operationId } = (await max.post<Reply<ClusterView>>('/v1/cluster', compact('failed', 100))).body.data
  await ended(max, _id)
  for (const [path, body] of [
    ['hosts', { pureslaveNodes: [node(110)] }],
    ['pubkey', { ids: ['0'.repeat(24)] }],
    ['registry', { ids: ['0'.repeat(24)] }],
    ['apply', {}]
  ] as const) {
    const reply = await max.post<Failure>(`/v1/cluster/${_id}/${path}`, body)
    t.match([reply.status, reply.body.error.code], [409, 'E50016'], path)
  }
  t.match((await max.get<Failure>(`/v1/cluster/${_id}/components`)).body.error.code, 'E50020')
  const eve = service.as(guardKeys.token({ userId: 'eve', tenantId: 'failed', email: 'eve@example.com', codes }))
  t.match((await eve.post<Reply<object>>(`/v1/operations/${operationId}/retry`)).body.data, { attempt: 2 })
  t.match(await ended(max, _id), { state: 'FAILED', attempt: 2, userName: 'eve@example.com' })
  const log = await max.get<Reply<{ _id: string; user_id: string }[]>>(`/v1/logs?cluster_id=${_id}&sort=time_create`)
  const create = { operateType: 'create_cluster', status: 'fail', comments: /installation_failed/ }
  t.match(log.body.data, [
    { ...create, _id: operationId, user_id: 'max' },
    { ...create, _id: /^[0-9a-f]{24}$/, user_id: 'eve', userName: 'eve@example.com' }
  ])
  t.equal(new Set(log.body.data.map(({ _id }) => _id)).size, 2, 'each attempt is an entry')
  t.equal((await max.delete(`/v1/cluster/${_id}`)).status, 200)
  t.match(await ended(max, _id), { state: 'SUCCESS' })
  t.match((await max.delete<Failure>(`/v1/cluster/${_id}`)).body.error.code, 'E50017')
  t.equal((await max.post('/v1/cluster', compact('failed', 100))).status, 200, 'name and addresses are free again')
})

await t.test('keeps registries: document form, taken names, addresses that could be paths', async (t) => {
  const made = await ann.post<Reply<{ _id: string }>>('/v1/dockerregistries', {
    name: 'registry_name',
    registry: '192.168.10.95:5000',
    user_id: 'ann',
    isSystemRegistry: true
  })
  t.match(made.body.data, {
    name: 'registry_name',
    registry: '192.168.10.95:5000',
    secure: false,
    password: '',
    isUse: false,
    isSystemRegistry: true
  })
  const { _id } = made.body.data
  t.same((await ann.get(`/v1/dockerregistries/${_id}`)).body, { success: true, data: made.body.data })
  const again = await ann.post<Failure>('/v1/dockerregistries', { name: 'registry_name', registry: 'a:1' })
  t.match([again.status, again.body.error.code], [409, 'E57001'])
  for (const registry of ['../etc', 'a/b', 'a..b', '$(id)', 'a b', '']) {
    t.equal((await ann.post('/v1/dockerregistries', { name: 'x', registry })).status, 400, registry)
  }
  t.match(
    (await ann.post<Failure>('/v1/dockerregistries', { name: 'x', registry: 'a', ca_text: 'no' })).body.error.message,
    /ca_text/
  )
  t.equal((await ann.get('/v1/dockerregistries/registryValidate?type=name&name=registry_name')).status, 409)
  t.same((await ann.get('/v1/dockerregistries/registryValidate?type=used&name=registry_name')).body, {
    success: true,
    data: null
  })
  t.equal((await ann.get<Reply<unknown[]>>('/v1/dockerregistries?count=true&user_id=ann')).body.count, 1)
  t.same((await ann.delete(`/v1/dockerregistries/${_id}`)).body, { success: true })
  const words = (
    await ann.get<Reply<{ operateType: string; status: string }[]>>('/v1/logs?queryType=registry&sort=time_create')
  ).body.data
  t.match(
    words.map(({ operateType, status }) => [operateType, status]),
    [
      ['create_registry', 'success'],
      ['create_registry', 'fail'],
      ['delete_registry', 'success']
    ]
  )
})

await t.test('tells of what a deleted person has made, and lists it while auth is silent', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
  t.teardown(() => store.close())
  type Owned = { _id: string; owner?: string; owner_deleted?: boolean; dockerRegistries?: Owned[] }
  async function made(userId: string, tenantId: string, from: number) {
    const email = `${userId}@example.com`
    const who = service.as(guardKeys.token({ userId, email, tenantId, codes }))
    const registry = { name: 'kept', registry: 'kept.example.com' }
    const { _id } = (await who.post<Reply<Owned>>('/v1/dockerregistries', registry)).body.data
    await who.post('/v1/provider', { name: 'kept', type: 'openstack', openstackInfo: { 'openstack-password': 'x' } })
    const draft = { ...compact('kept', from), dockerRegistries: [{ _id }] }
    const cluster = (await who.post<Reply<ClusterView>>('/v1/cluster', draft)).body.data
    await ended(who, cluster._id)
    // Only what runs has components; these hosts answer to nobody.
    await store.connection
      .collection('clusters')
      .updateOne({ _id: cluster._id as never }, { $set: { status: 'RUNNING' } })
    return cluster._id
  }
  async function seen(tenantId: string, cluster: string) {
    const boss = user('boss', tenantId)
    const shown: Owned[] = []
    for (const path of ['/v1/cluster', '/v1/dockerregistries', '/v1/provider', `/v1/cluster/${cluster}/hosts`]) {
      const listed = await boss.get<Reply<Owned[]>>(path)
      t.equal(listed.status, 200, listed.text)
      const [first] = listed.body.data as [Owned & { hostId?: string }]
      const one = await boss.get<Reply<Owned>>(`${path}/${first._id ?? first.hostId}`)
      shown.push(first, one.body.data)
    }
    const parts = await boss.get<Reply<Owned & { userName: string }>>(`/v1/cluster/${cluster}/components`)
    t.equal(parts.status, 200, parts.text)
    shown.push({ ...parts.body.data, owner: parts.body.data.userName })
    return [...shown, ...(shown[0]?.dockerRegistries ?? [])]
  }
  const gone = await seen('left', await made('gone', 'left', 61))
  t.same([...new Set(gone.map((one) => one.owner_deleted))], [true])
  t.same([...new Set(gone.flatMap(({ owner }) => owner ?? []))], ['gone@example.com (deleted)'])
  for (const [userId, tenantId, from] of [
    ['here', 'left2', 71],
    ['gone', silentTenant, 81]
  ] as const) {
    const there = await seen(tenantId, await made(userId, tenantId, from))
    t.same([...new Set(there.map((one) => one.owner_deleted))], [undefined])
    t.same([...new Set(there.flatMap(({ owner }) => owner ?? []))], [`${userId}@example.com`])
  }
})

await t.test('asks for the function codes', async (t) => {
  const viewer = service.as(guardKeys.token({ codes: ['cluster.view'] }))
  t.equal((await viewer.get('/v1/cluster')).status, 200)
  t.equal((await viewer.post('/v1/cluster', compact('x', 1))).status, 403)
  t.equal((await viewer.post('/v1/dockerregistries', { name: 'a', registry: 'b' })).status, 403)
  t.equal((await service.get('/v1/operations/000000000000000000000000')).status, 401)
  t.equal((await viewer.get('/v1/operations/000000000000000000000000')).status, 404)
})

const openSsh = sshKeyPair({ passphrase: 'open' })

await t.test('reads private keys in every form that people have', (t) => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  t.equal(readPrivateKey(privateKey), key)
  t.equal(readPrivateKey(key), key)
  for (const locked of [
    openSsh.private,
    ...[rsa, ec].map((one) =>
      one.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'open' }).toString()
    )
  ]) {
    const opened = ssh2.utils.parseKey(readPrivateKey(locked, 'open'))
    if (opened instanceof Error) throw opened
    t.ok(opened.isPrivateKey(), 'it opens without the passphrase')
    if (locked === openSsh.private) t.match(openSsh.public, opened.getPublicSSH().toString('base64'), 'and is the same')
  }
  t.throws(() => readPrivateKey(openSsh.private, 'wrong'), /passphrase/)
  t.throws(() => readPrivateKey(openSsh.private), /passphrase/)
  t.match(readPrivateKey(ec.export({ type: 'pkcs8', format: 'pem' }).toString()), /BEGIN EC PRIVATE KEY/)
  t.throws(() => readPrivateKey('hello'), /no private key/)
  t.end()
})

await t.test('a key that takes for ever to open holds nobody up', async (t) => {
  const [head = '', ...lines] = openSsh.private.trim().split('\n')
  const whole = Buffer.from(lines.slice(0, -1).join(''), 'base64')
  // The rounds stand behind the salt of 16 bytes.
  const at = whole.indexOf('bcrypt') + 'bcrypt'.length + 4 + 4 + 16
  whole.writeUInt32BE(2 ** 31, at)
  const endless = [head, whole.toString('base64'), lines.at(-1)].join('\n')
  const keys = createKeyReader(300)
  t.teardown(() => keys.close())
  await t.rejects(Promise.all([keys.read(endless, 'open'), keys.read(endless, 'open')]), /takes too long/)

  const part = (tag: number, ...content: Buffer[]) => {
    const whole = Buffer.concat(content)
    return Buffer.concat([Buffer.of(tag, whole.length), whole])
  }
  const [pbes2, pbkdf2] = ['2a864886f70d01050d', '2a864886f70d01050c'].map((id) => part(6, Buffer.from(id, 'hex')))
  const salt = part(4, Buffer.alloc(8))
  const how = part(0x30, pbkdf2 as Buffer, part(0x30, salt, part(2, Buffer.from('7fffffff', 'hex'))))
  const info = part(0x30, part(0x30, pbes2 as Buffer, part(0x30, how)), part(4, Buffer.alloc(64)))
  const pem = `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${info.toString('base64')}\n-----END ENCRYPTED PRIVATE KEY-----`
  t.throws(() => readPrivateKey(pem, 'open'), /more rounds/)
})

await t.test('settings that every cluster would fail with are refused at the start', async (t) => {
  const wrong = {
    CLUSTER_PROFILE: 'swarm',
    K3S_DIR: parts.dir,
    NATS_SERVER_BINARY: '/no/such/nats-server',
    NATS_SERVER_URL: 'https://user:secret@example.com/nats.tar.gz',
    NATS_SERVER_VERSION: 'newest',
    NATS_SERVER_SHA256: 'a'.repeat(64),
    MACHINE_ACCESS_FROM: '10.0.0.0/33'
  }
  for (const [name, value] of Object.entries(wrong))
    await t.rejects(startClusterManagerFor(t, parts, { ...clusterEnv, [name]: value }), new RegExp(name))
  const open = { NATS_SERVER_URL: 'http://example.com/{version}/{arch}', NATS_SERVER_VERSION: '2.12.1' }
  await t.rejects(startClusterManagerFor(t, parts, { ...clusterEnv, ...open }), /NATS_SERVER_SHA256 must be set/)
  const K3S_DIR = join(parts.dir, 'two-archives')
  mkdirSync(K3S_DIR)
  for (const name of ['k3s', 'install.sh', 'k3s-airgap-images-amd64.tar.zst', 'k3s-airgap-images-arm64.tar.zst'])
    writeFileSync(join(K3S_DIR, name), '')
  await t.rejects(startClusterManagerFor(t, parts, { ...clusterEnv, K3S_DIR }), /K3S_DIR.*several processors/)
  rmSync(join(K3S_DIR, 'k3s-airgap-images-arm64.tar.zst'))
  writeFileSync(join(K3S_DIR, 'prometheus.tgz'), Buffer.alloc(180_001))
  await t.rejects(startClusterManagerFor(t, parts, { ...clusterEnv, K3S_DIR }), /K3S_DIR.*prometheus\.tgz has more/)
})
