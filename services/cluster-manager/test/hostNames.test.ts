import { quietLog } from '@fleetgate/testkit'
import t from 'tap'
import type { Cluster, Host } from '../src/clusters/cluster.js'
import { createPhases, type PhasesDeps } from '../src/operations/phase.js'
import { createProgress } from '../src/operations/progress.js'
import { newDocument, newHost } from './machineSupport.js'

/** Preflight of the new hosts, which say these names of themselves; answers what is wrong. */
async function preflight(old: Host[], names: string[], uniqueHostnames = true): Promise<string[]> {
  const hosts = names.map((_, index) => ({ ...newHost(index), ip: `10.0.0.${index}`, nic: '' }))
  const cluster: Cluster = newDocument('openstack', '', hosts)
  cluster.hosts = [...old, ...hosts]
  cluster.operation.kind = 'add_hosts'
  const { signal } = new AbortController()
  const said = async ({ id }: Host) => [`fact hostname ${names[hosts.findIndex((host) => host.id === id)]}`]
  const profile = { uniqueHostnames, ports: [], arch: '' }
  const shared = { cluster, profile, files: [], secrets: {}, registries: [], keys: [] }
  const phases = createPhases({
    cluster,
    epoch: 1,
    shared,
    progress: createProgress({ cluster, write: async () => {}, now: Date.now }),
    runner: { run: said },
    lost: signal,
    cancelled: signal,
    now: Date.now,
    log: quietLog
  } as unknown as PhasesDeps)
  const plan = { name: 'preflight', kind: 'preflight' as const, scripts: ['preflight.sh'], hosts, timeoutS: 60 }
  await phases.run(plan, signal)
  return cluster.operation.problems.map(({ ip, message }) => `${ip} ${message}`)
}

t.test('no two new hosts of a profile that minds may have one name', async (t) => {
  const wrong = ['10.0.0.1 preflight: the host name same is also that of 10.0.0.0']
  t.same(await preflight([], ['same', 'same', 'other']), wrong)
  t.same(await preflight([], ['one', 'two']), [])
  t.same(await preflight([], ['same', 'same'], false), [])
})

t.test('nor may a new host have the name of one that the cluster has', async (t) => {
  const old = { ...newHost(7), ip: '10.0.0.70', hostname: 'same', isTouched: true }
  t.same(await preflight([old], ['same', 'other']), [
    '10.0.0.0 preflight: the host name same is also that of 10.0.0.70'
  ])
  t.same(await preflight([{ ...old, isTouched: false }], ['same']), [], 'of one that never joined it may')
})
