import { until } from '@fleetgate/testkit'
import t from 'tap'
import { isEmpty } from './clouds/index.js'
import { ended, hostsOf, killedInEach } from './clusterSupport.js'
import { begin, gone, startProvider } from './providerSupport.js'
import type { Reply } from './support.js'

t.setTimeout(240_000)

const { cloud, service, api, providerId } = await startProvider(t, 'amazonec2', 2)

await t.test('a service killed in any phase makes each machine once, and leaves none', async (t) => {
  const { _id: id } = await begin(api, 'amazonec2', providerId)
  const killed = await killedInEach(api, service, id)
  t.ok(killed.includes('machines') || killed.includes('boot'), killed.join())
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.same([cloud.machines.size, cloud.created.length], [2, 2])
  t.equal((await hostsOf(api, id, '?status=RUNNING')).length, 2)
  // Going takes long enough to be seen.
  cloud.slowness = 5
  await gone(api, id)
  t.same(await killedInEach(api, service, id), ['destroy'])
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.ok(isEmpty(cloud))
  t.match((await api.get<Reply<object>>(`/v1/provider/${providerId}`)).body.data, { isuse: false })
})

await t.test('killed between an order and its answer, the machine is found, not made again', async (t) => {
  const before = cloud.created.length
  cloud.createFaults.push('silent', 'silent')
  const { _id: id } = await begin(api, 'amazonec2', providerId)
  await until(() => cloud.created.length === before + 2, { what: 'both orders to be taken' })
  await service.kill()
  t.equal(cloud.machines.size, 2)
  await service.restart()
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.same([cloud.machines.size, cloud.created.length], [2, before + 2])
  await gone(api, id)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.ok(isEmpty(cloud))
})
