import type { RunningService } from '@fleetgate/testkit'
import t from 'tap'
import {
  clusterOf,
  draft,
  ended,
  hostsOf,
  killedInEach,
  linger,
  made,
  startProcesses,
  startsOf
} from './clusterSupport.js'

t.setTimeout(240_000)

const { hosts, services, sessionOf } = await startProcesses(t, { count: 7 })
const service = services[0] as RunningService
const api = sessionOf(service)

await t.test('masters go once, one by one, though the service is killed in each phase', async (t) => {
  const { id, operation } = await made(api, draft(hosts, 'masters', [5, 2]))
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  linger(hosts)
  const masters = (await hostsOf(api, id)).filter(({ isMasterNode }) => isMasterNode)
  const going = masters.slice(0, 2)
  const host_ids = going.map(({ hostId }) => hostId)
  t.equal((await api.delete(`/v1/cluster/${id}/hosts`, { host_ids })).status, 200)
  t.same(await killedInEach(api, service, id), [
    ...[1, 2].flatMap((number) => ['drain', 'forget', 'settle'].map((word) => `${word}-master-${number}`)),
    'remove-masters'
  ])
  const ending = await ended(api, id)
  t.match(ending, { state: 'SUCCESS', attempt: 1, problems: [] }, JSON.stringify(ending))
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 5, endPoint: masters[2]?.ip })
  for (const host of hosts.hosts) {
    const isGone = going.some(({ ip }) => ip === host.address)
    if (isGone) t.notOk((await host.programs()).includes('nats-server'))
    else t.equal(await startsOf(host), 1)
  }
})
