import { createAllowed, createHttp } from '@fleetgate/kit/outbound'
import { sshKeyPair } from '@fleetgate/testkit'
import t from 'tap'
import { problemOf as amazonProblem } from '../src/providers/amazonec2/ec2Client.js'
import { withBackOff } from '../src/providers/backoff.js'
import { type ProviderType, providerTypes } from '../src/providers/driver.js'
import { problemOf as openstackProblem } from '../src/providers/openstack/answers.js'
import { type Account, call, conformance, groupFor, problemOf, reached, specFor } from './clouds/conformance.js'
import { driverOf, isEmpty, startCloud } from './clouds/index.js'

t.setTimeout(240_000)
const { http, close } = createHttp({ allowed: createAllowed('127.0.0.1'), setting: 'TEST', maxAnswerBytes: 1_000_000 })
t.teardown(close)
const group = groupFor(sshKeyPair().public.trim())
const spec = (at: number) => specFor(group, at)
const failed = { openstack: 'FAILED', amazonec2: 'GONE', google: 'STOPPED' } as const
const wrong: Record<ProviderType, Record<string, string>[]> = {
  openstack: [
    { 'openstack-password': 'wrong-secret' },
    { 'openstack-image-name': 'none' },
    { 'openstack-flavor-name': 'none' },
    { 'openstack-network': 'none' },
    { 'openstack-floatingip-pool': 'inside' },
    { 'openstack-sec-groups': 'none' }
  ],
  amazonec2: [
    { 'amazonec2-access-key': 'AKIAOTHER' },
    { 'amazonec2-ami': 'ami-0none' },
    { 'amazonec2-instance-type': 't3.none' },
    { 'amazonec2-iam-instance-profile': 'none' }
  ],
  google: [
    { 'google-project': 'other' },
    { 'google-machine-type': 'none' },
    { 'google-network': 'none' },
    { 'google-machine-image': 'debian-cloud/global/images/family/none' },
    { 'google-subnetwork': 'none' }
  ]
}

for (const type of providerTypes) {
  await t.test(type, async (t) => {
    const cloud = await startCloud(t, type)
    const driver = await driverOf(cloud, http)
    const account: Account = {
      open: (change) => driverOf(cloud, http, change),
      wrong: wrong[type],
      isTwice: type === 'openstack',
      secrets: /wrong-secret|amazon-secret|PRIVATE/,
      publicKey: group.publicKey,
      addresses: /^10\.9\.0\.\d+$/,
      pollMs: 1,
      page: (size) => {
        cloud.pageSize = size
      },
      expireTokens: () => cloud.expireTokens()
    }
    const ready = async () => {
      await driver.ensureKey(group, call)
      await driver.ensureNetworkAccess(group, call)
    }

    await conformance(t, account)

    await t.test(
      'leaves nothing, and makes a machine with the key, the ports and the tags that were asked for',
      async (t) => {
        t.ok(isEmpty(cloud))
        await ready()
        const made = await driver.create({ ...spec(1), tag: `${group.clusterId}-9` }, call)
        await reached(driver, made.id, 'RUNNING')
        const [fake] = cloud.machines.values()
        t.match(fake, { name: spec(1).name, cluster: group.clusterId, order: { publicKey: group.publicKey } })
        const orders: Record<string, object> = {
          openstack: { image: 'debian-13', size: 'm1.small', network: 'inside', groups: [group.name] },
          amazonec2: {
            image: 'ami-0fake',
            size: 't3.small 20',
            network: 'subnet-0fake',
            groups: [group.name],
            more: { profile: '', httpTokens: 'required' }
          },
          google: {
            user: 'admin',
            image: 'projects/debian-cloud/global/images/family/debian-13',
            size: 'zones/europe-west3-a/machineTypes/e2-small 20',
            groups: ['tills', group.name],
            more: { serviceAccounts: undefined, subnetwork: undefined }
          }
        }
        t.match(fake?.order, orders[type] ?? {})
        const rules = [...cloud.groups.values()].flat()
        t.same(
          rules.flatMap(({ ports }) => ports).sort((a, b) => a - b),
          [22, 1883]
        )
        t.ok(
          rules.every(({ ports, from }) => from === (ports.length > 0 ? group.from : group.name)),
          JSON.stringify(rules)
        )
      }
    )

    await t.test('tells apart what is worth another try', async (t) => {
      for (const kind of ['throttled', 'unavailable', 'credentials'] as const) {
        cloud.faults.push(kind)
        t.equal((await problemOf(driver.list(group.clusterId, call)))?.kind, kind)
      }
      cloud.createFaults.push('quota')
      t.match(await problemOf(driver.create(spec(6), call)), { kind: 'quota', message: /quota|vCPU/i })
      cloud.createFaults.push('throttled', 'unavailable')
      let waits = 0
      const made = await withBackOff(() => driver.create(spec(6), call), {
        until: Date.now() + 60_000,
        now: Date.now,
        signal: call.signal,
        onWait: ({ kind, retryAfterMs }) => {
          if (type === 'openstack' && kind === 'throttled') t.equal(retryAfterMs, 1000)
          waits += 1
        }
      })
      t.same([waits, made.tag], [2, spec(6).tag])
      cloud.faults.push('throttled')
      const late = { until: Date.now(), now: Date.now, signal: call.signal }
      t.equal((await problemOf(withBackOff(() => driver.list(group.clusterId, call), late)))?.kind, 'throttled')
    })

    await t.test('shows a machine that failed, and one that vanished', async (t) => {
      cloud.failing = 1
      const broken = await driver.create(spec(7), call)
      const seen = await reached(driver, broken.id, failed[type])
      t.match(seen?.message, /the host broke/)
      if (seen) await driver.destroy(seen, call)
      await reached(driver, broken.id, undefined)
      const lost = await driver.create(spec(0), call)
      cloud.machines.delete(lost.id)
      t.equal(await driver.get(lost.id, call), undefined)
    })

    await t.test('goes on with what is left', async (t) => {
      const all = await driver.list(group.clusterId, call)
      t.equal(all.length, 2)
      for (const machine of all) await driver.destroy(machine, call)
      for (const { id } of all) await reached(driver, id, undefined)
      await driver.release(group, call)
      t.ok(isEmpty(cloud))
    })

    await t.test('a tag whose machine is gone makes none again where it is a key of idempotency', async (t) => {
      await ready()
      const first = await driver.create(spec(1), call)
      await driver.destroy(first, call)
      await reached(driver, first.id, undefined)
      const made = await driver.create(spec(1), call)
      t.equal(made.state === 'GONE', type === 'amazonec2')
      if (made.state !== 'GONE') await driver.destroy(made, call)
      await reached(driver, made.id, undefined)
    })

    await t.test('an order that has changed since the last attempt is taken as another one', async (t) => {
      if (type !== 'amazonec2') return t.pass('a tag is no key of idempotency there, or the name alone is')
      const changed = await driverOf(cloud, http, { 'amazonec2-root-size': '30' })
      const [one, other] = [await driver.create(spec(2), call), await changed.create(spec(2), call)]
      t.not(one.id, other.id)
      t.equal((await changed.create(spec(2), call)).id, other.id, 'the same order is still one')
      t.same((await driver.find(spec(2), call)).map(({ id }) => id).sort(), [one.id, other.id].sort())
      for (const machine of [one, other]) await driver.destroy(machine, call)
      for (const { id } of [one, other]) await reached(driver, id, undefined)
    })

    await t.test('a machine that is still going keeps its rules from going, for a while', async (t) => {
      const made = await driver.create({ ...spec(1), tag: spec(1).tag.replace(/1$/, '2') }, call)
      await driver.destroy(made, call)
      if (type !== 'google') t.match(await problemOf(driver.release(group, call)), { kind: 'unavailable' })
      await reached(driver, made.id, undefined)
      await driver.release(group, call)
      t.ok(isEmpty(cloud))
    })

    if (type === 'openstack') {
      await t.test('at its quota the account still takes what it has already', async (t) => {
        await ready()
        cloud.isFull = true
        await ready()
        t.match(await problemOf(driver.ensureKey({ ...group, name: 'more' }, call)), {
          kind: 'quota',
          message: /key pairs/
        })
        const more = driver.ensureNetworkAccess({ ...group, ports: [22, 1883, 4222] }, call)
        t.match(await problemOf(more), { kind: 'quota', message: /security_group_rule/ })
        cloud.isFull = false
        await driver.release(group, call)
        t.ok(isEmpty(cloud))
      })

      await t.test('of two groups with one name every driver takes the same, and both go', async (t) => {
        await driver.ensureKey(group, call)
        const others = await Promise.all([account.open(), account.open()])
        await Promise.all(others.map((one) => one.ensureNetworkAccess(group, call)))
        t.equal(cloud.groups.size, 2, 'Neutron lets a name be there twice')
        const made = await driver.create(spec(1), call)
        await driver.destroy(made, call)
        await reached(driver, made.id, undefined)
        await driver.release(group, call)
        t.ok(isEmpty(cloud))
      })

      await t.test('a cloud that defers deletions lets go at once, unless its policy forbids that', async (t) => {
        await ready()
        cloud.isDeferring = true
        const made = await driver.create(spec(1), call)
        await driver.destroy(made, call)
        await reached(driver, made.id, undefined)
        cloud.isPlain = true
        const kept = await driver.create(spec(2), call)
        await driver.destroy(kept, call)
        t.match(await driver.get(kept.id, call), { state: 'STOPPED', message: 'it is SOFT_DELETED' })
        t.same(await driver.list(group.clusterId, call), [], 'no list shows it')
        t.match(await problemOf(driver.release(group, call)), { kind: 'unavailable', message: /still in use/ })
        cloud.isPlain = false
        await driver.destroy(kept, call)
        await reached(driver, kept.id, undefined)
        cloud.isDeferring = false
        await driver.release(group, call)
        t.ok(isEmpty(cloud))
      })

      await t.test('says what is wrong with an address or a network', async (t) => {
        const said = async (change: Record<string, string>) => problemOf((await account.open(change)).validate(call))
        const elsewhere = { 'openstack-auth-url': `${cloud.url}/elsewhere` }
        t.match(await said(elsewhere), { kind: 'invalid', message: /no Keystone v3/ })
        t.equal(await said({ 'openstack-network': '' }), undefined, 'the only one there is')
        t.match(await said({ 'openstack-region': 'three' }), { kind: 'invalid', message: /catalog/ })
        t.match(await said({ 'openstack-flavor-name': 'none' }), { message: /"none": there are m1\.small, m1\.tiny$/ })
      })
    }

    await t.test('ends at once where it is told to', async (t) => {
      const stop = new AbortController()
      stop.abort(new Error('told to'))
      t.match(await problemOf(driver.list(group.clusterId, { signal: stop.signal })), { message: 'told to' })
    })
  })
}

await t.test("the codes of Amazon's errors are told apart", async (t) => {
  const answers: [string, number | undefined, string][] = [
    ['AuthFailure', 401, 'credentials'],
    ['UnauthorizedOperation', 403, 'credentials'],
    ['PendingVerification', 400, 'credentials'],
    ['RequestExpired', 400, 'credentials'],
    ['VcpuLimitExceeded', 400, 'quota'],
    ['RulesPerSecurityGroupLimitExceeded', 400, 'quota'],
    ['InsufficientInstanceCapacity', 500, 'capacity'],
    ['InsufficientFreeAddressesInSubnet', 400, 'capacity'],
    ['RequestLimitExceeded', 503, 'throttled'],
    ['ThrottlingException', 400, 'throttled'],
    ['Unavailable', 503, 'unavailable'],
    ['InternalError', 500, 'unavailable'],
    ['TimeoutError', undefined, 'unavailable'],
    ['InvalidAMIID.NotFound', 400, 'invalid'],
    ['IdempotentParameterMismatch', 400, 'invalid']
  ]
  for (const [name, httpStatusCode, kind] of answers) {
    const error = { name, message: `of ${name}`, $metadata: { httpStatusCode } }
    t.match(amazonProblem(error, 0), { kind, message: `Amazon EC2: of ${name} (${name})` }, name)
  }
})

await t.test("the forms of OpenStack's errors are told apart, with the reason of each", async (t) => {
  const neutron = (type: string, message: string) => ({ NeutronError: { type, message, detail: '' } })
  const answers: [number, object, string, string][] = [
    [403, { forbidden: { code: 403, message: 'Quota exceeded, too many key pairs.' } }, 'quota', 'too many key pairs.'],
    [409, neutron('OverQuota', 'Too many of them.'), 'quota', 'Too many of them.'],
    [409, neutron('IpAddressGenerationFailure', 'No more IP addresses.'), 'capacity', 'No more IP addresses.'],
    [403, { forbidden: { code: 403, message: "Policy doesn't allow it." } }, 'credentials', "Policy doesn't allow it."],
    [400, { message: 'Unknown operator.<br /><br />\n\n', code: '400 Bad Request' }, 'invalid', 'Unknown operator.'],
    [500, { computeFault: { code: 500, message: 'No quota engine.' } }, 'unavailable', 'No quota engine.'],
    [502, {}, 'unavailable', 'it answered 502']
  ]
  for (const [status, body, kind, reason] of answers) {
    const { kind: found, message } = openstackProblem({ status, headers: {}, body: JSON.stringify(body) }, 0)
    t.same([found, message.endsWith(reason)], [kind, true], message)
  }
})
