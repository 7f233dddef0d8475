import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type Cluster, type Host, ingressHosts, monitorOf } from '../src/clusters/cluster.js'
import { newOperation, planOf } from '../src/operations/operation.js'
import { undoingOf } from '../src/operations/undoing.js'
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

await t.test('hosts that began to join are cleaned, then forgotten by a leader that runs', (t) => {
  const statuses = { m0: 'OFFLINE', m1: 'RUNNING', w0: 'RUNNING', w1: 'INSTALLING', w2: 'INSTALLING' } as const
  const hosts = Object.entries(statuses).map(
    ([id, status]) => ({ id, ip: '', role: id.startsWith('m') ? 'master' : 'shared', status, isTouched: true }) as Host
  )
  const by = { userId: 'ann', name: 'ann' }
  const operation = newOperation({ id: 'op', kind: 'add_hosts', by, hosts: hosts.slice(3) }, 0)
  operation.hosts = operation.hosts.map((host) => ({ ...host, state: host.hostId === 'w2' ? 'FAILED' : 'DONE' }))
  const plansOf = (profile: string, change: object) => {
    const cluster = { hosts, operation: { ...operation, ...change } } as Cluster
    return undoingOf(cluster, get(profile) as Profile).map(({ name, hosts, gone }) => [
      name,
      ...[hosts, gone ?? []].map((some) => some.map(({ id }) => id).join())
    ])
  }
  const phases = ['preflight', 'stage', 'install-1'].map((name) => ({ name, state: 'DONE' }))
  const outcome = { state: 'CANCELLED', message: 'cancelled' }
  t.same(plansOf('k3s', { phases }), [
    ['undo-others', 'w2', ''],
    ['undo-forget', 'm1', 'w2']
  ])
  t.same(plansOf('k3s', { phases, outcome }), [
    ['undo-others', 'w1,w2', ''],
    ['undo-forget', 'm1', 'w1,w2']
  ])
  t.same(plansOf('k3s', { phases: phases.slice(0, 2), outcome }), [['undo-others', 'w1,w2', '']])
  t.same(plansOf('nats', { phases }), [['undo-others', 'w2', '']], 'a worker of nats is known to nobody')
  t.same(plansOf('k3s', { phases, kind: 'apply', outcome }), [])
  t.end()
})

await t.test('what was drained by a leader and stays is uncordoned', (t) => {
  const hosts = ['m0', 'm1', 'm2'].map(
    (id) => ({ id, ip: '', role: 'master', status: 'RUNNING', isTouched: id !== 'm0' }) as Host
  )
  const by = { userId: 'ann', name: 'ann' }
  const operation = newOperation({ id: 'op', kind: 'delete_hosts', by, hosts: hosts.slice(0, 2) }, 0)
  const outcome = { state: 'FAILED' as const, message: 'no' }
  const plansOf = (profile: string, change: object) =>
    undoingOf({ hosts, operation: { ...operation, ...change } } as Cluster, get(profile) as Profile)
  const phases = [{ name: 'drain-master-1', state: 'DONE' }]
  const one = { name: 'undo-drain', scripts: ['uncordon.sh'], hosts: [{ id: 'm2' }], gone: [{ id: 'm1' }] }
  t.match(plansOf('k3s', { phases, outcome }), [one], 'one that was removed is not')
  for (const change of [{ phases }, { outcome }]) t.same(plansOf('k3s', change), [])
  t.same(plansOf('nats', { phases, outcome }), [], 'a server of nats that was drained has ended')
  t.end()
})

await t.test('hosts of k3s join and restart ten at a time and masters at work one by one, those of nats fifty', (t) => {
  const hosts = ['m0', 'm1', 'm2', 'w0'].map(
    (id) => ({ id, ip: '', role: id.startsWith('m') ? 'master' : 'shared', status: 'RUNNING' }) as Host
  )
  const by = { userId: 'ann', name: 'ann' }
  const atOnce = (profile: string, kind: 'create' | 'add_hosts' | 'apply' | 'registries' | 'pubkeys') => {
    const operation = newOperation({ id: 'op', kind, by, hosts: kind === 'add_hosts' ? hosts.slice(3) : hosts }, 0)
    return planOf({ hosts, operation } as Cluster, get(profile) as Profile).map((plan) => plan.atOnce)
  }
  t.same(atOnce('k3s', 'create'), [undefined, undefined, 10, 10, 10, undefined, undefined])
  t.same(atOnce('k3s', 'add_hosts'), [undefined, undefined, 10, undefined, undefined])
  t.same(atOnce('k3s', 'apply'), [undefined, undefined, 1, 1, 10, undefined, undefined])
  t.same(atOnce('k3s', 'registries'), [1, 10])
  t.same(atOnce('k3s', 'pubkeys'), [undefined])
  t.same(atOnce('nats', 'apply'), [undefined, undefined, 50, undefined])
  t.same(atOnce('nats', 'registries'), [50, 50])
  t.end()
})

await t.test('what is the cluster’s is brought right by a master that stays, when hosts have come or gone', (t) => {
  const hosts = ['m0', 'm1', 'm2', 'w0', 'w1'].map(
    (id) => ({ id, ip: '', role: id.startsWith('m') ? 'master' : 'shared', status: 'RUNNING' }) as Host
  )
  const by = { userId: 'ann', name: 'ann' }
  const plansOf = (profile: string, kind: 'create' | 'add_hosts' | 'apply' | 'delete_hosts' | 'delete', of: Host[]) => {
    const operation = newOperation({ id: 'op', kind, by, hosts: of }, 0)
    const plans = planOf({ hosts, operation } as Cluster, get(profile) as Profile)
    const at = plans.findIndex(({ name }) => name === 'addons')
    return at < 0 ? [] : [plans[at - 1]?.name, ...(plans[at]?.hosts ?? []).map(({ id }) => id)]
  }
  t.same(plansOf('k3s', 'create', hosts), ['verify', 'm0'])
  t.same(plansOf('k3s', 'apply', hosts), ['verify', 'm0'])
  t.same(plansOf('k3s', 'add_hosts', hosts.slice(4)), ['verify', 'm0'])
  t.same(plansOf('k3s', 'delete_hosts', hosts.slice(4)), ['forget', 'm0'])
  t.same(plansOf('k3s', 'delete_hosts', hosts.slice(0, 1)), ['settle-master-1', 'm1'])
  t.same(plansOf('k3s', 'delete', hosts), [])
  t.same(plansOf('nats', 'create', hosts), [])
  t.end()
})

await t.test(
  'the first worker that stays keeps watch; who fails to join or goes neither does that nor takes traffic in',
  (t) => {
    const by = { userId: 'ann', name: 'ann' }
    const clusterOf = (statuses: string, options: object = { monitoring: true }) => {
      const words = { R: 'RUNNING', O: 'OFFLINE', I: 'INSTALLING', F: 'FAILED', T: 'TERMINATING' } as const
      const hosts = statuses.split(' ').map((text, index) => {
        const status = words[text[1] as keyof typeof words]
        const role = { m: 'master', s: 'shared', p: 'pureslave' }[text[0] as 'm' | 's' | 'p']
        return { id: `h${index}`, ip: '', role, status } as Host
      })
      const joining = hosts.filter(({ status }) => status === 'INSTALLING')
      const operation = newOperation({ id: 'op', kind: 'add_hosts', by, hosts: joining }, 0)
      const [first] = operation.hosts
      // The first one that is to join does not.
      if (first) first.state = 'FAILED'
      return { hosts, options, operation } as Cluster
    }
    const found = (statuses: string, options?: object) => {
      const cluster = clusterOf(statuses, options)
      return [
        monitorOf(cluster)?.id,
        ingressHosts(cluster)
          .map(({ id }) => id)
          .join()
      ]
    }
    t.same(found('mR sR sO pR'), ['h1', 'h1,h2'])
    t.same(found('mR sT sF pR'), ['h3', ''])
    t.same(found('mR sI sI'), ['h2', 'h2'])
    t.same(found('mR sT'), [undefined, ''])
    t.same(found('mR sR', {}), [undefined, 'h1'], 'nobody asked for it')
    t.end()
  }
)
