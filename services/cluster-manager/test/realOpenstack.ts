import { createAllowed, createHttp, type Http } from '@fleetgate/kit/outbound'
import { sshKeyPair } from '@fleetgate/testkit'
import t from 'tap'
import type { Cluster, Host } from '../src/clusters/cluster.js'
import { createOpenstack } from '../src/providers/openstack/openstack.js'
import { readOpenstack } from '../src/providers/openstack/settings.js'
import { type Account, call, clusterId, conformance, groupFor, problemOf } from './clouds/conformance.js'
import { drive, limits, newDocument, newHost } from './machineSupport.js'

// Not one of the tests: it wants an account at a real OpenStack, makes up to six machines there and takes them away again.

const names: Record<string, string> = {
  'openstack-auth-url': 'OS_AUTH_URL',
  'openstack-username': 'OS_USERNAME',
  'openstack-tenant-name': 'OS_PROJECT_NAME',
  'openstack-domain-name': 'OS_USER_DOMAIN_NAME',
  'openstack-region': 'OS_REGION_NAME',
  'openstack-flavor-name': 'OS_FLAVOR',
  'openstack-image-name': 'OS_IMAGE',
  'openstack-network': 'OS_NETWORK',
  'openstack-floatingip-pool': 'OS_FLOATING_POOL',
  'openstack-application-credential-id': 'OS_APPLICATION_CREDENTIAL_ID'
}
const settings = Object.fromEntries(Object.entries(names).map(([field, name]) => [field, process.env[name] ?? '']))
const password = process.env.OS_APPLICATION_CREDENTIAL_SECRET ?? process.env.OS_PASSWORD ?? ''

t.setTimeout(1_800_000)
const { hostname } = new URL(settings['openstack-auth-url'] || 'http://OS_AUTH_URL.is.not.set')
const allowed = createAllowed(process.env.PROVIDER_ALLOWED_HOSTS ?? hostname)
const { http, close } = createHttp({ allowed, setting: 'PROVIDER_ALLOWED_HOSTS', maxAnswerBytes: 8_000_000 })
t.teardown(close)

let pageSize = 100
let isExpired = false
/** Smaller pages and a token that counts no more, on the way to services that know nothing of it. */
const between: Http = (request) => {
  const headers = { ...request.headers }
  if (isExpired && headers['x-auth-token']) {
    headers['x-auth-token'] = 'gAAAAABexpired'
    isExpired = false
  }
  return http({ ...request, headers, url: request.url.replace('limit=100', `limit=${pageSize}`) })
}
const account: Account = {
  async open(change = {}) {
    const { 'openstack-password': secret = password, ...rest } = change
    return createOpenstack({ settings: readOpenstack({ ...settings, ...rest }, secret), http: between, now: Date.now })
  },
  wrong: [
    { 'openstack-password': 'wrong-secret' },
    { 'openstack-image-name': 'none' },
    { 'openstack-flavor-name': 'none' },
    { 'openstack-network': 'none' },
    { 'openstack-sec-groups': 'none' }
  ],
  isTwice: true,
  secrets: /wrong-secret/,
  publicKey: sshKeyPair().public.trim(),
  addresses: /^\d+\.\d+\.\d+\.\d+$/,
  pollMs: 1000,
  page: (size) => {
    pageSize = size
  },
  expireTokens: () => {
    isExpired = true
  }
}

await conformance(t, account)

const longestMs = 300_000
const driver = await account.open()
const document = newDocument('openstack', account.publicKey, [newHost(1)])
const first = ({ hosts }: Cluster) => hosts[0] as Host
const own = async () => (await driver.list(clusterId, call)).map(({ id }) => id)

await t.test('a crash between order and record finds the machine again, and nothing is left of two', async (t) => {
  const dying = drive(driver, document, { isWritten: () => false })
  t.match(await problemOf(dying.machines.create(first(dying.cluster), limits(longestMs))), { message: 'killed' })
  const [ordered] = await own()
  const next = drive(driver, dying.kept(), { pollMs: account.pollMs })
  await next.machines.create(first(next.cluster), limits(longestMs))
  t.equal(first(next.kept()).machine?.id, ordered)
  // Another driver that ordered before it saw this one.
  const { id } = await driver.create(
    { tag: `${first(document).id}-1`, name: first(document).name, group: groupFor(account.publicKey) },
    call
  )
  t.match((await own()).sort(), [ordered, id].sort())
  await next.machines.boot(first(next.cluster), limits(longestMs))
  t.match(first(next.kept()).ip, account.addresses)
  await next.machines.destroy(first(next.cluster), limits(longestMs))
  await next.machines.tidy(limits(longestMs))
  t.same(await own(), [])
})
