import { generateKeyPairSync } from 'node:crypto'
import { createAllowed, createHttp } from '@fleetgate/kit/outbound'
import { sshKeyPair } from '@fleetgate/testkit'
import t from 'tap'
import { withBackOff } from '../src/providers/backoff.js'
import { type CloudProblem, type Driver, type MachineGroup, providerTypes } from '../src/providers/driver.js'
import { createGoogleClient } from '../src/providers/google/googleClient.js'
import { driverOf, isEmpty, startCloud } from './clouds/index.js'

t.setTimeout(120_000)
const { http, close } = createHttp({ allowed: createAllowed('127.0.0.1'), setting: 'TEST', maxAnswerBytes: 1_000_000 })
t.teardown(close)
const call = { signal: new AbortController().signal }
const group: MachineGroup = {
  clusterId: '59bb43f8284ae3000bf663ea',
  name: 'fleetgate-59bb43f8284ae3000bf663ea',
  publicKey: sshKeyPair().public.trim(),
  ports: [22, 1883],
  from: '198.51.100.0/24'
}
const spec = (at: number) => ({ tag: `59bb43f8284ae3000bf6630${at}-1`, name: `h-0000000${at}-till`, group })

async function problem(work: Promise<unknown>): Promise<CloudProblem | undefined> {
  return work.then(
    () => undefined,
    (error: CloudProblem) => error
  )
}

/** The order as its machine reaches the state. */
async function until(driver: Driver, id: string, state: string | undefined) {
  for (let looks = 0; looks < 20; looks++) {
    const found = await driver.get(id, call)
    if (found?.state === state || (state === undefined && found?.state === 'GONE')) return found
  }
  throw new Error(`${id} does not become ${state}`)
}

for (const type of providerTypes) {
  await t.test(type, async (t) => {
    const cloud = await startCloud(t, type)
    const driver = await driverOf(cloud, http)
    const ready = async () => {
      await driver.ensureKey(group, call)
      await driver.ensureNetworkAccess(group, call)
    }

    await t.test('tells whether log-in and settings are good', async (t) => {
      await driver.validate(call)
      const wrong: Record<string, Record<string, string>[]> = {
        openstack: [
          { 'openstack-password': 'wrong-secret' },
          { 'openstack-image-name': 'none' },
          { 'openstack-flavor-name': 'none' },
          { 'openstack-network': 'none' },
          { 'openstack-sec-groups': 'none' }
        ],
        amazonec2: [{ 'amazonec2-access-key': 'AKIAOTHER' }, { 'amazonec2-ami': 'ami-0none' }],
        google: [{ 'google-project': 'other' }, { 'google-machine-type': 'none' }, { 'google-network': 'none' }]
      }
      for (const [at, change] of (wrong[type] ?? []).entries()) {
        const found = await problem((await driverOf(cloud, http, change)).validate(call))
        t.equal(found?.kind, at === 0 ? 'credentials' : 'invalid', found?.message ?? 'no problem')
        t.notMatch(found?.message, /wrong-secret|amazon-secret|PRIVATE/)
      }
    })

    await t.test('makes a machine with the key, the ports and the tags that were asked for', async (t) => {
      await ready()
      await ready()
      const made = await driver.create(spec(1), call)
      t.equal(made.tag, spec(1).tag)
      t.match(made.state, /^(PENDING|RUNNING)$/)
      const running = await driver.ensureAddress((await until(driver, made.id, 'RUNNING')) ?? made, call)
      t.match(await driver.ensureAddress(running, call), {
        address: /^10\.9\.0\.\d+$/,
        privateAddress: /^10\.8\.0\.\d+$/
      })
      t.match(await driver.find(spec(1), call), [{ id: made.id, tag: spec(1).tag }])
      const [fake] = cloud.machines.values()
      t.match(fake, { name: spec(1).name, cluster: group.clusterId, order: { publicKey: group.publicKey } })
      const orders: Record<string, object> = {
        openstack: { image: 'debian-13', size: 'm1.small', network: 'inside', groups: [group.name] },
        amazonec2: { image: 'ami-0fake', size: 't3.small 20', network: 'subnet-0fake', groups: [group.name] },
        google: {
          user: 'admin',
          image: 'projects/debian-cloud/global/images/family/debian-13',
          size: 'zones/europe-west3-a/machineTypes/e2-small 20',
          groups: ['tills', group.name]
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
    })

    await t.test('one tag is one machine, where the cloud knows keys of idempotency', async (t) => {
      const before = cloud.machines.size
      const [again] = await driver.find(spec(1), call)
      if (type !== 'openstack') {
        const twice = await Promise.all([driver.create(spec(1), call), driver.create(spec(1), call)])
        t.same([...new Set(twice.map(({ id }) => id))], [again?.id])
      }
      t.equal(cloud.machines.size, before)
      t.same(await driver.find(spec(9), call), [])
      t.same(await driver.find({ ...spec(1), tag: `${group.clusterId}-7` }, call), [], 'the tag decides, not the name')
    })

    await t.test('lists over all pages, and sees none of other clusters', async (t) => {
      const foreign = { ...spec(8), group: { ...group, clusterId: '59bb43f8284ae3000bf66000' } }
      for (const at of [2, 3, 4, 5]) await driver.create(spec(at), call)
      await driver.create(foreign, call)
      cloud.pageSize = 2
      const listed = await driver.list(group.clusterId, call)
      t.same(
        listed.map(({ tag }) => tag).sort(),
        [1, 2, 3, 4, 5].map((at) => spec(at).tag)
      )
      t.match(await driver.find(spec(5), call), [{ tag: spec(5).tag }])
      cloud.pageSize = 100
      const [other] = await driver.find(foreign, call)
      if (other) await driver.destroy(other, call)
      await until(driver, other?.id ?? '', undefined)
    })

    await t.test('a token that has run out is renewed', async (t) => {
      cloud.expireTokens()
      t.equal((await driver.list(group.clusterId, call)).length, 5)
    })

    await t.test('tells apart what is worth another try', async (t) => {
      for (const kind of ['throttled', 'unavailable', 'credentials'] as const) {
        cloud.faults.push(kind)
        t.equal((await problem(driver.list(group.clusterId, call)))?.kind, kind)
      }
      cloud.createFaults.push('quota')
      t.match(await problem(driver.create(spec(6), call)), { kind: 'quota', message: /quota|vCPU/i })
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
      t.equal((await problem(withBackOff(() => driver.list(group.clusterId, call), late)))?.kind, 'throttled')
    })

    await t.test('shows a machine that failed, and one that vanished', async (t) => {
      cloud.failing = 1
      const broken = await driver.create(spec(7), call)
      const seen = await until(driver, broken.id, { openstack: 'FAILED', amazonec2: 'GONE', google: 'STOPPED' }[type])
      t.match(seen?.message, /the host broke/)
      if (seen) await driver.destroy(seen, call)
      await until(driver, broken.id, undefined)
      const lost = await driver.create(spec(0), call)
      cloud.machines.delete(lost.id)
      t.equal(await driver.get(lost.id, call), undefined)
    })

    await t.test('takes away everything, twice over', async (t) => {
      const all = await driver.list(group.clusterId, call)
      t.equal(all.length, 6)
      for (const machine of all) await driver.destroy(machine, call)
      for (const machine of all) await driver.destroy(machine, call)
      for (const { id } of all) await until(driver, id, undefined)
      await driver.release(group, call)
      await driver.release(group, call)
      t.ok(isEmpty(cloud))
    })

    await t.test('a tag whose machine is gone makes none again where it is a key of idempotency', async (t) => {
      await ready()
      const made = await driver.create(spec(1), call)
      t.equal(made.state === 'GONE', type === 'amazonec2')
      if (made.state !== 'GONE') await driver.destroy(made, call)
      await until(driver, made.id, undefined)
    })

    await t.test('a machine that is still going keeps its rules from going, for a while', async (t) => {
      const made = await driver.create({ ...spec(1), tag: spec(1).tag.replace(/1$/, '2') }, call)
      await driver.destroy(made, call)
      if (type !== 'google') t.match(await problem(driver.release(group, call)), { kind: 'unavailable' })
      await until(driver, made.id, undefined)
      await driver.release(group, call)
      t.ok(isEmpty(cloud))
    })

    await t.test('ends at once where it is told to', async (t) => {
      const stop = new AbortController()
      stop.abort(new Error('told to'))
      t.match(await problem(driver.list(group.clusterId, { signal: stop.signal })), { message: 'told to' })
    })
  })
}

await t.test('a change that Google does not end is told of, so that it is asked for anew', async (t) => {
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  let minutes = 0
  const client = createGoogleClient({
    account: { email: 'fleet@project-1.iam.gserviceaccount.com', key, keyId: '' },
    project: 'project-1',
    urls: { compute: 'http://compute', token: 'http://token' },
    http: async ({ url }) => {
      const body = url === 'http://token' ? { access_token: 'any' } : { name: 'operation-1', status: 'RUNNING' }
      return { status: 200, headers: {}, body: JSON.stringify(body) }
    },
    now: () => 60_000 * minutes++
  })
  const found = await problem(client.change('global/firewalls', call, { method: 'POST', body: {} }))
  t.match(found, { kind: 'unavailable', message: /does not come to an end/ })
})
