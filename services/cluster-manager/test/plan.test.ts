import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Cluster, Host } from '../src/clusters/cluster.js'
import { newOperation, planOf } from '../src/operations/operation.js'
import { loadProfiles, type Profile } from '../src/profiles/profile.js'

const { get } = loadProfiles(fileURLToPath(new URL('../../profiles', import.meta.url)), {})

await t.test('done again while a master that stays is away, it must be whole all the same', (t) => {
  const statuses = ['TERMINATING', 'OFFLINE', 'RUNNING', 'RUNNING', 'TERMINATING'] as const
  const hosts = statuses.map((status, index) => ({ id: `h${index}`, ip: '', role: 'master', status }) as Host)
  const going = hosts.filter(({ status }) => status === 'TERMINATING')
  const by = { userId: 'ann', name: 'ann' }
  const operation = newOperation({ id: 'op', kind: 'delete_hosts', by, hosts: going }, 0)
  for (const name of ['nats', 'k3s']) {
    const plans = planOf({ hosts, operation } as Cluster, get(name) as Profile)
    const idsOf = (wanted: string) => plans.find((plan) => plan.name === wanted)?.hosts.map(({ id }) => id)
    t.same(idsOf('settle-master-1'), ['h1', 'h2', 'h3'], name)
    t.same(idsOf('forget-master-1'), ['h2'], 'asked is one that runs')
  }
  t.end()
})
