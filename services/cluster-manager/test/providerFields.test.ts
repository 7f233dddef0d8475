import { createAllowed, createHttp } from '@fleetgate/kit/outbound'
import { sshKeyPair } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { call, groupFor, problemOf, reached, specFor } from './clouds/conformance.js'
import { type Cloud, driverOf, isEmpty, startCloud } from './clouds/index.js'

t.setTimeout(240_000)
const { http, close } = createHttp({ allowed: createAllowed('127.0.0.1'), setting: 'TEST', maxAnswerBytes: 1_000_000 })
t.teardown(close)
const group = groupFor(sshKeyPair().public.trim())
const spec = specFor(group, 1)
type Fields = Record<string, string>

/** What the cloud says to an account with these fields, or what is wrong with them before it is asked. */
const said = async (cloud: Cloud, fields: Fields) =>
  problemOf(driverOf(cloud, http, fields).then((driver) => driver.validate(call)))

/** What was ordered, by an account with these fields, for a machine that is gone again by then. */
async function ordered(cloud: Cloud, fields: Fields) {
  const driver = await driverOf(cloud, http, fields)
  await driver.ensureKey(group, call)
  await driver.ensureNetworkAccess(group, call)
  const made = await driver.create(spec, call)
  const order = cloud.machines.get(made.id)?.order
  const running = await reached(driver, made.id, 'RUNNING')
  await driver.ensureAddress(running as never, call)
  await driver.destroy(made, call)
  await reached(driver, made.id, undefined)
  await driver.release(group, call)
  return order
}

async function refusesAll(t: Test, cloud: Cloud, cases: [Fields, RegExp][]) {
  for (const [fields, message] of cases) {
    const found = await said(cloud, fields)
    t.match(found, { name: 'AppError', code: 'invalid_input', message }, JSON.stringify(fields))
  }
}

t.test('openstack logs in with an application credential in the place of a password', async (t) => {
  const cloud = await startCloud(t, 'openstack')
  const secret = { 'openstack-password': '', 'openstack-application-credential-secret': 'application-secret' }
  const byId = { ...secret, 'openstack-username': '', 'openstack-application-credential-id': '0ba5ed' }
  const byName = { ...secret, 'openstack-application-credential-name': 'tills' }

  for (const fields of [byId, byName]) {
    t.equal(await said(cloud, fields), undefined)
    t.match(await ordered(cloud, fields), { image: 'debian-13', groups: [group.name] })
    t.ok(isEmpty(cloud))
  }
  const driver = await driverOf(cloud, http, byId)
  await driver.validate(call)
  cloud.expireTokens()
  await driver.validate(call)
  t.pass('a token that has run out is renewed')

  await t.test('says what is wrong with it, and never the secret', async (t) => {
    const wrong = { 'openstack-application-credential-secret': 'wrong-secret' }
    for (const fields of [
      { ...byId, 'openstack-application-credential-id': 'f00d' },
      { ...byId, ...wrong },
      { ...byName, ...wrong },
      { ...byName, 'openstack-username': 'somebody' },
      { ...byName, 'openstack-domain-name': 'Other' }
    ]) {
      const found = await said(cloud, fields)
      t.match(found, { kind: 'credentials', message: /application credential.* wrong/ }, JSON.stringify(fields))
      t.notMatch(found?.message, /-secret/)
    }
  })

  await t.test('one of another project is refused: what is made must be seen again', async (t) => {
    const other = { ...byId, 'openstack-application-credential-id': '0ff1ce' }
    t.match(await said(cloud, other), {
      kind: 'credentials',
      message: /for the project office in Default, not for till/
    })
    t.equal(await said(cloud, { ...other, 'openstack-tenant-name': 'office' }), undefined)
    t.match(await said(cloud, { ...byId, 'openstack-domain-name': 'Other' }), {
      kind: 'credentials',
      message: /not for till in Other/
    })
    t.equal(await said(cloud, { ...byId, 'openstack-domain-name': 'default' }), undefined, 'whatever the case')
  })

  await t.test('names what is missing', (t) =>
    refusesAll(t, cloud, [
      [
        { ...byId, 'openstack-application-credential-secret': '' },
        /^openstack-application-credential-secret is required/
      ],
      [{ ...byId, 'openstack-application-credential-id': 'a b' }, /^openstack-application-credential-id /],
      [{ ...byId, 'openstack-tenant-name': '' }, /^openstack-tenant-name /],
      [{ ...byName, 'openstack-username': '' }, /^openstack-username is required/],
      [secret, /^openstack-application-credential-id or its name is required/],
      [{ ...byId, 'openstack-password': 'open-secret' }, /^openstack-password is not taken beside/]
    ])
  )
})

t.test('amazonec2 gives machines a role, and asks whether it may', async (t) => {
  const cloud = await startCloud(t, 'amazonec2')
  const arn = 'arn:aws:iam::123456789012:instance-profile/tills/till-role'
  for (const profile of ['till-role', arn]) {
    const fields = { 'amazonec2-iam-instance-profile': profile }
    t.equal(await said(cloud, fields), undefined)
    t.equal(cloud.created.length, 0, 'a rehearsal makes nothing')
    t.match(await ordered(cloud, fields), { more: { profile } })
    cloud.created.length = 0
  }
  t.match(await said(cloud, { 'amazonec2-iam-instance-profile': 'no-role' }), {
    kind: 'invalid',
    message: /iamInstanceProfile.*no-role|no-role.*iamInstanceProfile/
  })
  await refusesAll(t, cloud, [
    [{ 'amazonec2-iam-instance-profile': 'a role' }, /^amazonec2-iam-instance-profile /],
    [{ 'amazonec2-iam-instance-profile': 'arn:aws:iam::1:user/x' }, /^amazonec2-iam-instance-profile /]
  ])
  t.ok(isEmpty(cloud))
})

t.test('amazonec2 makes the metadata service want a token, unless it is told not to', async (t) => {
  const cloud = await startCloud(t, 'amazonec2')
  const wanted = async (value: string) => (await ordered(cloud, { 'amazonec2-http-tokens': value }))?.more?.httpTokens
  t.equal(await wanted(''), 'required')
  t.equal(await wanted('required'), 'required')
  t.equal(await wanted('optional'), 'optional')
  await refusesAll(t, cloud, [[{ 'amazonec2-http-tokens': 'none' }, /^amazonec2-http-tokens must be one of required/]])
  t.ok(isEmpty(cloud))
})

t.test('amazonec2 takes every disk of the image away with the machine, not the first alone', async (t) => {
  const cloud = await startCloud(t, 'amazonec2')
  t.same((await ordered(cloud, {}))?.lasting, [])
  t.same((await ordered(cloud, { 'amazonec2-root-size': '' }))?.lasting, [])
  t.ok(isEmpty(cloud))
})

t.test('google gives machines an account of their own, with so much reach', async (t) => {
  const cloud = await startCloud(t, 'google')
  const email = 'till@project-1.iam.gserviceaccount.com'
  const accounts = async (fields: Fields) => (await ordered(cloud, fields))?.more?.serviceAccounts
  const scope = (name: string) => `https://www.googleapis.com/auth/${name}`
  t.same(await accounts({}), undefined, 'none by default')
  t.same(await accounts({ 'google-service-account': email }), [
    { email, scopes: ['devstorage.read_only', 'logging.write', 'monitoring.write'].map(scope) }
  ])
  const scopes = `cloud-platform, ${scope('pubsub')}`
  t.same(await accounts({ 'google-service-account': 'default', 'google-scopes': scopes }), [
    { email: 'default', scopes: ['cloud-platform', 'pubsub'].map(scope) }
  ])
  await refusesAll(t, cloud, [
    [{ 'google-scopes': 'pubsub' }, /^google-service-account is required where google-scopes/],
    [{ 'google-service-account': 'not an address' }, /^google-service-account /],
    [{ 'google-service-account': email, 'google-scopes': 'https://evil.example.com/auth/x' }, /^google-scopes /]
  ])
  t.ok(isEmpty(cloud))
})

t.test(
  'google puts machines into the subnetwork that is named, and finds the image by each of its names',
  async (t) => {
    const cloud = await startCloud(t, 'google')
    const named = { 'google-subnetwork': 'tills' }
    t.equal(await said(cloud, named), undefined)
    t.match(await ordered(cloud, named), { more: { subnetwork: 'regions/europe-west3/subnetworks/tills' } })
    const shared = 'projects/shared-1/regions/europe-west3/subnetworks/tills'
    t.match(await ordered(cloud, { 'google-subnetwork': shared }), { more: { subnetwork: shared } })
    const family = 'debian-cloud/global/images/family/debian-13'
    for (const image of [family, `projects/${family}`, `https://www.googleapis.com/compute/v1/projects/${family}`])
      t.match(await ordered(cloud, { 'google-machine-image': image }), { image: `projects/${family}` })
    t.match(await said(cloud, { 'google-machine-image': 'global/images/till-1' }), {
      kind: 'invalid',
      message: /projects\/project-1\/global\/images\/till-1/
    })
    await refusesAll(t, cloud, [[{ 'google-machine-image': 'debian-13' }, /^google-machine-image must be of the form/]])
    t.ok(isEmpty(cloud))
  }
)

t.test('google takes the key of a service account, and no other log-in', async (t) => {
  const cloud = await startCloud(t, 'google')
  const field = 'google-application-credentials'
  const text = cloud.infos.googleInfo?.[field] ?? ''
  const account = JSON.parse(text) as object
  t.equal(await said(cloud, { [field]: Buffer.from(text).toString('base64') }), undefined)
  const elsewhere = { token_uri: 'http://169.254.169.254/', universe_domain: 'evil.example.com', quota_project_id: 'x' }
  t.equal(
    await said(cloud, { [field]: JSON.stringify({ ...account, ...elsewhere }) }),
    undefined,
    'addresses in it do not count'
  )
  const others = [
    { type: 'external_account', credential_source: { executable: { command: '/bin/id' } } },
    { type: 'external_account', credential_source: { file: '/etc/passwd' } },
    { type: 'external_account', credential_source: { url: 'http://169.254.169.254/' } },
    { type: 'impersonated_service_account', service_account_impersonation_url: 'http://169.254.169.254/' },
    { type: 'authorized_user', refresh_token: 'x' },
    { ...account, private_key: 'no key' }
  ]
  await refusesAll(
    t,
    cloud,
    others.map((one) => [{ [field]: JSON.stringify(one) }, /^google-application-credentials must be the JSON file/])
  )
})
