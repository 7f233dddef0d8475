import { until } from '@fleetgate/testkit'
import t from 'tap'
import { isEmpty } from './clouds/index.js'
import { clusterOf, ended, operationOf } from './clusterSupport.js'
import { begin, gone, startProvider } from './providerSupport.js'

t.setTimeout(240_000)

const { cloud, api, providerId } = await startProvider(t, 'google', 2)

await t.test('where the quota ends, what was made is taken away; done again it is whole', async (t) => {
  cloud.createFaults.push('quota')
  const { _id: id } = await begin(api, 'google', providerId)
  const operation = await ended(api, id)
  t.match(operation, { state: 'FAILED', problems: [{ message: /^machines: Google Cloud: .*exceeded/ }] })
  t.match(await clusterOf(api, id), { status: 'FAILED', details: /machines failed on 1 of 2/ })
  t.ok(isEmpty(cloud), 'the other machine does not stay either')
  cloud.createFaults.push('throttled', 'unavailable')
  t.equal((await api.post(`/v1/operations/${operation.id}/retry`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', attempt: 2 })
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 2 })
  await gone(api, id)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.ok(isEmpty(cloud))
})

await t.test('cancelled while machines are pending, it takes them back', async (t) => {
  cloud.slowness = 1_000_000
  const { _id: id, operationId } = await begin(api, 'google', providerId)
  await until(async () => (await operationOf(api, operationId)).phase === 'boot', { what: 'machines to be ordered' })
  t.equal(cloud.machines.size, 2)
  t.equal((await api.post(`/v1/operations/${operationId}/cancel`)).status, 200)
  // What was told to go goes faster than it came.
  cloud.slowness = 1
  t.match(await ended(api, id), { state: 'CANCELLED' })
  t.match(await clusterOf(api, id), { status: 'FAILED' })
  t.ok(isEmpty(cloud))
  await gone(api, id)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.match(await clusterOf(api, id), { status: 'TERMINATED' })
})
