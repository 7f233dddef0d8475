import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, type Reply, serveKeys, startClusterManagerFor } from './support.js'

interface Provider {
  _id: string
  name: string
  type: string
  sshUser: string
  openstackInfo: Record<string, string>
  awsEc2Info: Record<string, string>
  googleInfo: Record<string, string>
  isuse: boolean
}

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const api = await startClusterManagerFor(t, parts)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
t.teardown(() => store.close())

function user(tenantId: string, codes = ['cluster.view', 'cluster.edit'], userId = 'ann'): Session {
  return api.as(guardKeys.token({ userId, tenantId, codes }))
}

/** As the document has it, its misspelt word too. */
const documented = {
  name: 'provider',
  user_id: 'ann',
  type: 'google',
  sshUser: 'root',
  googleInfo: {
    'google-project': 'project',
    'google-zone': 'zone',
    'google-machine-type': 'type',
    'google-machine-image': 'image',
    'google-network': 'network',
    'google-username': 'username',
    'google-disk-size': 'size',
    'google-disk-type': 'type',
    'google-use-internal-ip': 'ip',
    'google-tags': 'tags',
    'google-applocation-credentials': 'credentials'
  }
}
const openstack = {
  name: 'private',
  type: 'openstack',
  openstackInfo: {
    'openstack-auth-url': 'https://cloud.example.com:5000/v3',
    'openstack-username': 'fleet',
    'openstack-password': 'swordfish-1',
    'openstack-tenant-name': 'till',
    'openstack-flavor-name': 'm1.small',
    'openstack-image-name': 'debian-13',
    'openstack-ssh-user': 'debian'
  }
}
const empty = {
  openstackInfo: Object.fromEntries(
    'auth-url username password tenant-name flavor-name image-name ssh-user sec-groups floatingip-pool nova-network'
      .split(' ')
      .map((name) => [`openstack-${name}`, ''])
  ),
  awsEc2Info: Object.fromEntries(
    'access-key secret-key ami instance-type root-size region vpc-id ssh-user'
      .split(' ')
      .map((name) => [`amazonec2-${name}`, ''])
  )
}

await t.test('adds, lists, reads, replaces and deletes as the document shows it', async (t) => {
  const ann = user('doc')
  const made = await ann.post<Reply<Provider>>('/v1/provider', documented)
  t.equal(made.status, 200, made.text)
  const { _id: id, googleInfo, ...rest } = made.body.data
  const { 'google-applocation-credentials': _secret, ...plain } = documented.googleInfo
  t.match(googleInfo, { ...plain, 'google-application-credentials': '******' })
  t.match(rest, { name: 'provider', type: 'google', sshUser: 'root', user_id: 'ann', tenant_id: 'doc', isuse: false })
  t.strictSame([rest.openstackInfo, rest.awsEc2Info], [empty.openstackInfo, empty.awsEc2Info])
  t.strictSame((await ann.get(`/v1/provider/${id}`)).body, { success: true, data: made.body.data })
  const listed = await ann.get<Reply<Provider[]>>('/v1/provider?count=true&type=google&skip=&limit=&sort=&user_id=ann')
  t.strictSame(listed.body, { success: true, count: 1, data: [made.body.data] })

  const change = {
    ...documented,
    _id: id,
    googleInfo: { ...documented.googleInfo, 'google-project': 'project-change' }
  }
  const replaced = await ann.put(`/v1/provider/${id}`, change)
  t.strictSame(replaced.body, { success: true, data: { created: false, url: `/v1/provider/${id}` } })
  t.match((await ann.get(`/v1/provider/${id}`)).body, { data: { googleInfo: { 'google-project': 'project-change' } } })

  t.strictSame((await ann.get('/v1/provider/validate?provider_name=test')).body, { success: true, data: null })
  const taken = await ann.get<Failure>('/v1/provider/validate?provider_name=provider')
  t.match([taken.status, taken.body], [409, { success: false, error: { code: 'E50003', message: /name/ } }])
  t.strictSame((await ann.delete(`/v1/provider/${id}`)).body, { success: true })
  t.equal((await ann.delete(`/v1/provider/${id}`)).status, 404)
  const words = (await ann.get<Reply<object[]>>('/v1/logs?queryType=provider&sort=time_create')).body.data
  t.match(words, [
    { operateType: 'create_provider', status: 'success', comments: 'provider' },
    { operateType: 'update_provider', status: 'success' },
    { operateType: 'delete_provider', status: 'success' }
  ])
})

await t.test('keeps secrets sealed, shows a mask, and takes the mask as the secret that is kept', async (t) => {
  const ann = user('secrets')
  const made = await ann.post<Reply<Provider>>('/v1/provider', openstack)
  const path = `/v1/provider/${made.body.data._id}`
  const sealed = async () =>
    (await store.connection.collection('providers').findOne({ _id: made.body.data._id as never }))
      ?.sealedSecret as string
  const before = await sealed()
  t.match(before, /^v1\./)
  t.equal((await ann.put(path, made.body.data)).status, 200, 'what was read may be sent back')
  t.equal(await sealed(), before)
  const info = { ...openstack.openstackInfo, 'openstack-password': '' }
  t.equal(
    (await ann.put(path, { ...openstack, openstackInfo: { ...info, 'openstack-flavor-name': 'm1.large' } })).status,
    200
  )
  t.equal(await sealed(), before)
  const elsewhere = { ...openstack, openstackInfo: { ...info, 'openstack-auth-url': 'https://evil.example.com' } }
  t.match(await ann.put(path, elsewhere), { status: 400, body: { error: { message: /openstack-password/ } } })
  t.equal((await ann.put(path, openstack)).status, 200)
  t.not(await sealed(), before)
  const shown = [made, await ann.get(path), await ann.get('/v1/provider'), await ann.get('/v1/logs')].map(
    ({ text }) => text
  )
  t.notMatch(shown.join(), /swordfish|sealed/)
  t.notMatch(JSON.stringify(await store.connection.collection('providers').find().toArray()), /swordfish/)
})

await t.test('keeps one secret of an account: that of the log-in it is told to take', async (t) => {
  const ann = user('logins')
  const { 'openstack-password': _password, ...info } = openstack.openstackInfo
  const credential = {
    'openstack-application-credential-id': '0ba5ed',
    'openstack-application-credential-secret': 'salmon-1'
  }
  const body = (more: object) => ({ ...openstack, openstackInfo: { ...info, ...more } })
  const made = await ann.post<Reply<Provider>>('/v1/provider', body(credential))
  const path = `/v1/provider/${made.body.data._id}`
  const shown = async () => (await ann.get<Reply<Provider>>(path)).body.data.openstackInfo
  const sealed = async () =>
    (await store.connection.collection('providers').findOne({ _id: made.body.data._id as never }))
      ?.sealedSecret as string
  const before = await sealed()
  t.match(await shown(), {
    'openstack-password': '',
    'openstack-application-credential-id': '0ba5ed',
    'openstack-application-credential-secret': '******'
  })
  t.equal((await ann.put(path, { ...made.body.data })).status, 200, 'what was read may be sent back')
  t.equal((await ann.put(path, body({ 'openstack-application-credential-id': '0ff1ce' }))).status, 200)
  t.equal(await sealed(), before)

  const mask = '******'
  const others: [object, RegExp][] = [
    [{ 'openstack-password': mask }, /^openstack-password must be given anew where .*kind of log-in/],
    [{}, /^openstack-password must be given anew/],
    [
      {
        ...credential,
        'openstack-auth-url': 'https://evil.example.com',
        'openstack-application-credential-secret': mask
      },
      /^openstack-application-credential-secret must be given anew/
    ],
    [{ ...credential, 'openstack-password': 'swordfish-2' }, /^openstack-password is not taken beside/],
    [{ 'openstack-application-credential-secret': 'salmon-2' }, /^openstack-application-credential-id or its name/],
    [
      { ...credential, 'openstack-application-credential-secret': 'x'.repeat(16_385) },
      /openstack-application-credential-secret/
    ],
    [{ ...credential, 'openstack-application-credential-id': { $ne: '' } }, /openstack-application-credential-id/]
  ]
  for (const [change, message] of others) {
    const reply = await ann.put(path, body(change))
    t.match(reply, { status: 400, body: { error: { code: 'E12002', message } } }, JSON.stringify(change))
  }
  t.equal(await sealed(), before, 'what was refused changes nothing')
  t.equal((await ann.put(path, openstack)).status, 200)
  t.match(await shown(), { 'openstack-password': mask, 'openstack-application-credential-secret': '' })
  const replies = [made, await ann.get(path), await ann.get('/v1/provider'), await ann.get('/v1/logs')]
  t.notMatch(replies.map(({ text }) => text).join(), /swordfish|salmon|sealed/)
  t.notMatch(JSON.stringify(await store.connection.collection('providers').find().toArray()), /swordfish|salmon/)
})

await t.test('refuses bad input, naming the field, and keeps nothing', async (t) => {
  const ann = user('bad')
  const bad: [object, RegExp][] = [
    [{ name: undefined }, /name/],
    [{ name: ' x' }, /name/],
    [{ name: { $gt: '' } }, /name/],
    [{ type: 'azure' }, /type/],
    [{ type: undefined }, /type/],
    [{ sshUser: 'root; id' }, /sshUser/],
    [{ sshPort: 0 }, /sshPort/],
    [{ openstackInfo: 'x' }, /openstackInfo/],
    [{ openstackInfo: { 'openstack-username': { $ne: '' } } }, /openstack-username/],
    [{ openstackInfo: { 'openstack-username': 'a\nb' } }, /openstack-username/],
    [{ openstackInfo: { 'openstack-ssh-user': '$(id)' } }, /openstack-ssh-user/],
    [{ openstackInfo: { 'openstack-password': 'x'.repeat(16_385) } }, /openstack-password/],
    [{ openstackInfo: { 'openstack-auth-url': 'file:///etc/passwd' } }, /openstack-auth-url/],
    [{ openstackInfo: { 'openstack-auth-url': 'http://me:pw@cloud.example.com' } }, /openstack-auth-url/]
  ]
  for (const [change, field] of bad) {
    const reply = await ann.post<Failure>('/v1/provider', { ...openstack, ...change })
    t.match(reply, { status: 400, body: { error: { code: 'E12002', message: field } } }, JSON.stringify(change))
  }
  t.match(await ann.post('/v1/provider', { ...openstack, user_id: 'ben' }), { status: 403 })
  for (const path of [
    '/v1/provider?sort=sealedSecret',
    '/v1/provider?type=x',
    '/v1/provider/1',
    '/v1/provider/validate'
  ])
    t.equal((await ann.get(path)).status, 400, path)
  t.strictSame((await ann.get('/v1/provider?count=true')).body, { success: true, count: 0, data: [] })
})

await t.test('lets one of several equal names through, and one of two changes at once', async (t) => {
  const ann = user('twice')
  const replies = await Promise.all(
    Array.from({ length: 5 }, () => ann.post<Reply<Provider>>('/v1/provider', openstack))
  )
  t.strictSame(replies.map(({ status }) => status).sort(), [200, 409, 409, 409, 409])
  t.equal((await user('twice', undefined, 'ben').post('/v1/provider', openstack)).status, 200, 'names are per owner')
  const other = await ann.post<Reply<Provider>>('/v1/provider', { ...openstack, name: 'other' })
  t.match(await ann.put(`/v1/provider/${other.body.data._id}`, openstack), {
    status: 409,
    body: { error: { code: 'E50003' } }
  })
  const names = async (query: string) =>
    (await ann.get<Reply<Provider[]>>(`/v1/provider?${query}`)).body.data.map(({ name }) => name)
  t.strictSame(await names('sort=-name&user_id=ann'), ['private', 'other'])
  t.strictSame(await names('sort=name&user_id=ann&skip=1&limit=1'), ['private'])
  t.strictSame(await names('type=google'), [])
})

await t.test('asks the cloud only where the settings are enough and the address may be called', async (t) => {
  const ann = user('check')
  const check = async (body: object) => {
    const { _id } = (await ann.post<Reply<Provider>>('/v1/provider', body)).body.data
    return ann.post<Failure>(`/v1/provider/${_id}/check`)
  }
  t.match(await check(documented), { status: 400, body: { error: { message: /google-application-credentials/ } } })
  const { 'openstack-image-name': _image, ...lacking } = openstack.openstackInfo
  t.match(await check({ ...openstack, name: 'lacking', openstackInfo: lacking }), {
    status: 400,
    body: { error: { message: /openstack-image-name/ } }
  })
  const bad = { 'amazonec2-access-key': 'AK', 'amazonec2-secret-key': 'x', 'amazonec2-region': 'evil.example.com/' }
  t.match(await check({ name: 'amazon', type: 'amazonec2', awsEc2Info: bad }), {
    status: 400,
    body: { error: { message: /amazonec2-/ } }
  })
  for (const [index, url] of [
    'http://127.0.0.1:5000',
    'http://169.254.169.254/v3',
    'http://[::ffff:10.0.0.1]/',
    'http://localhost:1'
  ].entries()) {
    const inside = { ...openstack.openstackInfo, 'openstack-auth-url': url }
    const reply = await check({ ...openstack, name: `inside${index}`, openstackInfo: inside })
    t.match(reply, { status: 409, body: { error: { message: /may not be called from here/ } } }, url)
  }
})

await t.test('is for those with the codes, each in their own tenant', async (t) => {
  const made = await user('mine').post<Reply<Provider>>('/v1/provider', openstack)
  const path = `/v1/provider/${made.body.data._id}`
  const other = user('theirs')
  for (const status of [
    (await other.get(path)).status,
    (await other.put(path, openstack)).status,
    (await other.post(`${path}/check`)).status,
    (await other.delete(path)).status
  ])
    t.equal(status, 404)
  t.strictSame((await other.get('/v1/provider')).body, { success: true, data: [] })
  const reader = user('mine', ['cluster.view'])
  t.equal((await reader.get(path)).status, 200)
  t.equal((await reader.post('/v1/provider', openstack)).status, 403)
  t.equal((await reader.post(`${path}/check`)).status, 403)
  t.equal((await reader.put(path, openstack)).status, 403)
  t.equal((await reader.delete(path)).status, 403)
  const nobody = user('mine', ['smtp.edit'])
  for (const route of ['/v1/provider', '/v1/provider/validate?provider_name=x', path])
    t.equal((await nobody.get(route)).status, 403)
})
