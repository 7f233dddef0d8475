import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunningService, type SshHost, until } from '@fleetgate/testkit'
import t from 'tap'
import { type ClusterView, draft, ended, operationOf, startProcesses, startsOf } from './clusterSupport.js'
import type { Reply } from './support.js'

const { hosts, services, sessionOf } = await startProcesses(t, { count: 2 })
const api = sessionOf(services[0] as RunningService)
const [first, second] = hosts.hosts as [SshHost, SshHost]
const place = '"$FLEETGATE_ROOT"/var'

/** From now on this program stands still on the second host, for as long as it is told to, where it is called with such words. */
async function hold(program: string, words: string): Promise<void> {
  const tools = join(second.disk, 'usr/local/bin')
  mkdirSync(tools, { recursive: true })
  const wait = `echo held >>${place}/held; while [ -e ${place}/hold ]; do sleep 0.1; done`
  const text = `#!/bin/sh\ncase $* in ${words}) [ ! -e ${place}/hold ] || { ${wait}; } ;; esac\nexec /bin/${program} "$@"\n`
  writeFileSync(join(tools, program), text, { mode: 0o755 })
  await second.run(`touch ${place}/hold`)
  await second.run(`rm -f ${place}/held`)
}

const holds = () => second.run(`cat ${place}/held 2>/dev/null | wc -l`).then(Number)
async function letGo(program: string): Promise<void> {
  rmSync(join(second.disk, 'usr/local/bin', program))
  await second.run(`rm ${place}/hold`)
}

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

const nats = '*fleetgate/nats/nats-server'
const file = '*fleetgate/files/*'

await t.test('a connection that breaks alone is made again, and follows the work that went on', async (t) => {
  await hold('ln', nats)
  const { _id: id, operationId } = await begun('connection')
  await until(async () => (await holds()) === 1, { what: 'the installation to be in the middle' })
  t.equal(await second.logins(), 1)
  await second.disconnect()
  await until(async () => (await second.logins()) === 1, { what: 'the service to log in again' })
  t.match(await operationOf(api, operationId), { state: 'RUNNING', phase: 'install-1', problems: [] })
  await letGo('ln')
  t.match(await ended(api, id), { state: 'SUCCESS', attempt: 1, problems: [] })
  t.equal(await holds(), 1, 'the script has run once')
  for (const host of [first, second]) t.equal(await startsOf(host), 1)
  await gone(id)
})

await t.test('a connection that breaks while a file is sent is made again, and the file sent whole', async (t) => {
  await hold('mv', file)
  const { _id: id, operationId } = await begun('sending')
  await until(async () => (await holds()) === 1, { what: 'the file to be on its way' })
  await second.disconnect()
  await until(async () => (await holds()) === 2, { what: 'the file to be sent again' })
  t.match(await operationOf(api, operationId), { state: 'RUNNING', phase: 'stage' })
  await letGo('mv')
  t.match(await ended(api, id), { state: 'SUCCESS', attempt: 1, problems: [] })
  for (const host of [first, second]) t.equal(await startsOf(host), 1)
  await gone(id)
})

for (const [phase, program, words] of [
  ['stage', 'mv', file],
  ['install-1', 'ln', nats]
] as const) {
  await t.test(
    `a host that restarts in the middle of ${phase} begins that anew, and the operation succeeds`,
    async (t) => {
      await hold(program, words)
      const { _id: id, operationId } = await begun('restart')
      await until(async () => (await holds()) === 1, { what: 'the work to be in the middle' })
      t.match(await operationOf(api, operationId), { state: 'RUNNING', phase })
      await second.kill()
      await second.start()
      await until(async () => (await holds()) === 2, { what: 'the work to be begun anew' })
      await letGo(program)
      const operation = await ended(api, id)
      t.match(operation, { state: 'SUCCESS', attempt: 1, problems: [] }, JSON.stringify(operation))
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
