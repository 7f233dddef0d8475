import { createAllowed, createHttp } from '@fleetgate/kit/outbound'
import { sshKeyPair } from '@fleetgate/testkit'
import t from 'tap'
import type { Cluster, Host } from '../src/clusters/cluster.js'
import { providerTypes } from '../src/providers/driver.js'
import { HostProblem } from '../src/ssh/problem.js'
import { clusterId, problemOf } from './clouds/conformance.js'
import { driverOf, isEmpty, startCloud } from './clouds/index.js'
import { type Drive, drive, limits, newDocument, newHost } from './machineSupport.js'

t.setTimeout(240_000)
const { http, close } = createHttp({ allowed: createAllowed('127.0.0.1'), setting: 'TEST', maxAnswerBytes: 1_000_000 })
t.teardown(close)
const publicKey = sshKeyPair().public.trim()

for (const type of providerTypes) {
  await t.test(type, async (t) => {
    const cloud = await startCloud(t, type)
    const driver = await driverOf(cloud, http)
    const first = (of: Cluster) => of.hosts[0] as Host
    const clear = async ({ machines, cluster }: Drive) => {
      for (const host of cluster.hosts) await machines.destroy(host, limits())
      await machines.tidy(limits())
    }

    await t.test('a crash between order and record finds the machine again', async (t) => {
      cloud.createFaults.length = 0
      const before = cloud.created.length
      const dying = drive(driver, newDocument(type, publicKey, [newHost(1)]), {
        isWritten: () => cloud.machines.size === 0
      })
      t.match(await problemOf(dying.machines.create(first(dying.cluster), limits())), { message: 'killed' })
      t.equal(cloud.machines.size, 1)
      t.notOk(first(dying.kept()).machine?.id, 'nothing is recorded')
      const next = drive(driver, dying.kept())
      await next.machines.create(first(next.cluster), limits())
      t.equal(first(next.kept()).machine?.id, [...cloud.machines.keys()][0])
      const third = drive(driver, next.kept())
      await third.machines.create(first(third.cluster), limits())
      await third.machines.boot(first(third.cluster), limits())
      t.same([cloud.machines.size, cloud.created.length - before], [1, 1])
      t.match(first(third.kept()), { ip: /^10\.9\./, privateIp: /^10\.8\./ })

      const ending = drive(driver, third.kept(), { isWritten: () => cloud.machines.size > 0 })
      t.match(await problemOf(ending.machines.destroy(first(ending.cluster), limits())), { message: 'killed' })
      const again = drive(driver, ending.kept())
      await clear(again)
      t.match(first(again.kept()), { machine: { serial: 2 }, ip: '' })
      t.ok(isEmpty(cloud))
    })

    await t.test('a machine that went without a record of it is made anew', async (t) => {
      const one = drive(driver, newDocument(type, publicKey, [newHost(2)]))
      await one.machines.create(first(one.cluster), limits())
      const [machine] = cloud.machines.values()
      await driver.destroy(
        (await driver.find({ tag: machine?.tag ?? '', name: machine?.name ?? '' }, limits()))[0] as never,
        limits()
      )
      while ((await driver.list(clusterId, limits())).length > 0);
      const next = drive(driver, newDocument(type, publicKey, [newHost(2)]))
      await next.machines.create(first(next.cluster), limits())
      await next.machines.boot(first(next.cluster), limits())
      t.equal(cloud.machines.size, 1)
      await clear(next)
      t.ok(isEmpty(cloud))
    })

    await t.test('waits where the cloud is busy, and gives up where it says no', async (t) => {
      cloud.createFaults.push('throttled', 'unavailable')
      const said: string[] = []
      const one = drive(driver, newDocument(type, publicKey, [newHost(3)]))
      const timer = setInterval(() => said.push(one.cluster.operation.hosts[0]?.message ?? ''), 20)
      await one.machines.create(first(one.cluster), limits())
      clearInterval(timer)
      t.ok(said.some((text) => text.startsWith('waiting: ')))
      await clear(one)
      cloud.createFaults.push('quota')
      const other = drive(driver, newDocument(type, publicKey, [newHost(4)]))
      const no = await problemOf(other.machines.create(first(other.cluster), limits()))
      t.ok(no instanceof HostProblem)
      t.match(no, { kind: 'refused', message: /quota|vCPU/i })
      await clear(other)
      t.ok(isEmpty(cloud))
    })

    await t.test(
      'one that fails, vanishes or never comes up is told of, and is replaced when it is asked for again',
      async (t) => {
        cloud.failing = 1
        const one = drive(driver, newDocument(type, publicKey, [newHost(5)]))
        await one.machines.create(first(one.cluster), limits())
        t.match(await problemOf(one.machines.boot(first(one.cluster), limits())), { message: /the host broke/ })
        const retry = drive(driver, one.kept())
        await retry.machines.create(first(retry.cluster), limits())
        await retry.machines.boot(first(retry.cluster), limits())
        t.match([cloud.machines.size, first(retry.kept()).machine?.serial], [1, 2])
        cloud.machines.clear()
        t.match(await problemOf(retry.machines.boot(first(retry.cluster), limits())), { message: /vanished/ })
        await clear(retry)
        cloud.slowness = 1_000_000
        const slow = drive(driver, newDocument(type, publicKey, [newHost(6)]))
        await slow.machines.create(first(slow.cluster), limits())
        const soon = { ...limits(), until: Date.now() + 50 }
        t.match(await problemOf(slow.machines.boot(first(slow.cluster), soon)), {
          message: /not running with an address in time/
        })
        cloud.slowness = 1
        await clear(slow)
        t.ok(isEmpty(cloud))
      }
    )

    await t.test('waits for SSH, and not for one with another key', async (t) => {
      let tries = 0
      const problems = ['unreachable', 'login', 'lost'] as const
      const reach = async () => {
        const kind = problems[tries++]
        if (kind) throw new HostProblem(kind, 'not yet')
      }
      const one = drive(driver, newDocument(type, publicKey, [newHost(7)]), { reach })
      await one.machines.create(first(one.cluster), limits())
      await one.machines.boot(first(one.cluster), limits())
      t.equal(tries, 4)
      const refused = async () => {
        throw new HostProblem('host_key', 'another key')
      }
      const other = drive(driver, one.kept(), { reach: refused })
      t.match(await problemOf(other.machines.boot(first(other.cluster), limits())), { message: 'another key' })
      await clear(one)
      t.ok(isEmpty(cloud))
    })

    await t.test('takes away what it made and no other machine, strays of the cluster included', async (t) => {
      const pair = drive(driver, newDocument(type, publicKey, [newHost(8), newHost(9)]))
      await pair.machines.create(first(pair.cluster), limits())
      await pair.machines.create(pair.cluster.hosts[1] as Host, limits())
      const name = 'fleetgate-other'
      const group = { clusterId: '0'.repeat(24), name, publicKey, ports: [22], from: '0.0.0.0/0' }
      await driver.ensureKey(group, limits())
      await driver.ensureNetworkAccess(group, limits())
      const foreign = await driver.create({ tag: 'abc-1', name: 'h-foreign', group }, limits())
      const stray = { tag: `${'5'.repeat(24)}-1`, name: 'h-stray' }
      await driver.create({ ...stray, group: { ...group, clusterId } }, limits())
      await pair.machines.destroy(first(pair.cluster), limits())
      await pair.machines.tidy(limits())
      t.same([...cloud.machines.values()].map(({ name }) => name).sort(), ['h-00000009-till', 'h-foreign'])
      t.ok(
        [...cloud.groups.keys()].some((key) => key.includes(clusterId)),
        'the rules stay with the last machine'
      )
      await pair.machines.destroy(pair.cluster.hosts[1] as Host, limits())
      await pair.machines.tidy(limits())
      t.same(
        [...cloud.machines.values()].map(({ name }) => name),
        ['h-foreign']
      )
      await driver.destroy({ ...foreign, tag: 'abc-1' }, limits())
      while ((await driver.list(group.clusterId, limits())).length > 0);
      await driver.release(group, limits())
      t.ok(isEmpty(cloud))
    })

    if (type === 'amazonec2') {
      await t.test('a machine that is not seen counts as gone at its own account alone', async (t) => {
        const one = drive(driver, newDocument(type, publicKey, [newHost(1)]))
        await one.machines.create(first(one.cluster), limits())
        const [[machineId, machine], key] = [[...cloud.machines][0] ?? [], [...cloud.keys][0]]
        cloud.machines.clear()
        cloud.keys.clear()
        const refused = await problemOf(one.machines.destroy(first(one.cluster), limits()))
        t.match(refused, { name: 'HostProblem', message: /another account/ })
        t.equal(first(one.kept()).machine?.id, machineId, 'it is not forgotten')
        if (machineId && machine && key) {
          cloud.machines.set(machineId, machine)
          cloud.keys.set(...key)
        }
        await clear(one)
        t.ok(isEmpty(cloud))
      })
    }

    if (type === 'openstack') {
      await t.test('of two that two drivers made at the same time one stays', async (t) => {
        const document = newDocument(type, publicKey, [newHost(1)])
        const [a, b] = [drive(driver, document), drive(driver, document)]
        await Promise.all([a, b].map(({ machines, cluster }) => machines.create(first(cluster), limits())))
        t.equal(cloud.machines.size, 2, 'Nova knows no key of idempotency')
        await b.machines.boot(first(b.cluster), limits())
        while ((await driver.list(clusterId, limits())).length > 1);
        t.same([...cloud.machines.keys()], [first(b.cluster).machine?.id])
        await clear(b)
        t.ok(isEmpty(cloud))
      })
    }
  })
}
