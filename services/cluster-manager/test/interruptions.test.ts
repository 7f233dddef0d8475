import { type RunningService, type SshHost, until } from '@fleetgate/testkit'
import t from 'tap'
import {
  type ClusterView,
  createHold,
  draft,
  ended,
  holdInstallation,
  operationOf,
  startProcesses,
  startsOf
} from './clusterSupport.js'
import type { Reply } from './support.js'

const { hosts, services, sessionOf } = await startProcesses(t, { count: 2 })
const api = sessionOf(services[0] as RunningService)
const [first, second] = hosts.hosts as [SshHost, SshHost]
async function begun(name: string): Promise<ClusterView> {
  const reply = await api.post<Reply<ClusterView>>('/v1/cluster', draft(hosts, name, [1, 1]))
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

async function gone(id: string): Promise<void> {
  const reply = await api.delete(`/v1/cluster/${id}`)
  if (reply.status !== 200) throw new Error(reply.text)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
}

const holdFile = (host: SshHost) => createHold(host, 'mv', '*fleetgate/files/*')

await t.test('a connection that breaks alone is made again, and follows the work that went on', async (t) => {
  const hold = holdInstallation(second)
  await hold.begin()
  const { _id: id, operationId } = await begun('connection')
  await hold.met(1)
  t.equal(await second.logins(), 1)
  await second.disconnect()
  await until(async () => (await second.logins()) === 1, { what: 'the service to log in again' })
  t.match(await operationOf(api, operationId), { state: 'RUNNING', phase: 'install-1', problems: [] })
  await hold.end()
  t.match(await ended(api, id), { state: 'SUCCESS', attempt: 1, problems: [] })
  await hold.met(1)
  for (const host of [first, second]) t.equal(await startsOf(host), 1)
  await gone(id)
})

await t.test('a connection that breaks while a file is sent is made again, and the file sent whole', async (t) => {
  const hold = holdFile(second)
  await hold.begin()
  const { _id: id, operationId } = await begun('sending')
  await hold.met(1)
  await second.disconnect()
  await hold.met(2)
  t.match(await operationOf(api, operationId), { state: 'RUNNING', phase: 'stage' })
  await hold.end()
  t.match(await ended(api, id), { state: 'SUCCESS', attempt: 1, problems: [] })
  for (const host of [first, second]) t.equal(await startsOf(host), 1)
  await gone(id)
})

for (const [phase, holdIn] of [
  ['stage', holdFile],
  ['install-1', holdInstallation]
] as const) {
  await t.test(
    `a host that restarts in the middle of ${phase} begins that anew, and the operation succeeds`,
    async (t) => {
      const hold = holdIn(second)
      await hold.begin()
      const { _id: id, operationId } = await begun('restart')
      await hold.met(1)
      t.match(await operationOf(api, operationId), { state: 'RUNNING', phase })
      await second.kill()
      await second.start()
      await hold.met(2)
      await hold.end()
      const operation = await ended(api, id)
      t.match(operation, { state: 'SUCCESS', attempt: 1, problems: [] }, JSON.stringify(operation))
      await hold.met(2)
      for (const host of [first, second]) t.equal(await startsOf(host), 1)
      if (phase === 'stage') return gone(id)
      // Without systemd nothing starts it with the host.
      await second.kill()
      await second.start()
      t.notOk((await second.programs()).includes('nats-server'))
      t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
      t.match(await ended(api, id), { state: 'SUCCESS', attempt: 1, problems: [] })
      t.ok((await second.programs()).includes('nats-server'))
      t.same([await startsOf(first), await startsOf(second)], [1, 2], 'where it ran it was left alone')
      await gone(id)
    }
  )
}
