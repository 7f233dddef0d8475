import { fileURLToPath } from 'node:url'
import { quietLog, until } from '@fleetgate/testkit'
import t from 'tap'
import type { Cluster } from '../src/clusters/cluster.js'
import { type DriveDeps, drive } from '../src/operations/drive.js'
import { createEngine, type EngineDeps } from '../src/operations/engine.js'
import { createProgress } from '../src/operations/progress.js'
import { loadProfiles } from '../src/profiles/profile.js'
import { newDocument, newHost } from './machineSupport.js'

t.test('an operation that ends while the documents are read is not begun again', async (t) => {
  const cluster = newDocument('openstack', '', [newHost(1)])
  let looks = 0
  let begun = 0
  let end = () => {}
  const ending = new Promise<void>((resolve) => {
    end = resolve
  })
  let read = () => {}
  const reading = new Promise<void>((resolve) => {
    read = resolve
  })
  const deps = {
    store: {
      write: async () => true,
      async held() {
        looks++
        const asItIs = structuredClone(cluster)
        if (looks > 2) return []
        if (looks === 2) await reading
        return [{ cluster: asItIs, epoch: 1 }]
      }
    },
    leases: { renew: async () => {}, held: () => ({}), fence: () => ({}), release: async () => {} },
    leaseMs: 400,
    begun: async () => {
      begun++
    },
    shared: async () => {
      throw new Error('nothing can be done')
    },
    runner: { secrets: {}, settings: { connectMs: 1, lostMs: 1 } },
    settle: () => ending,
    now: Date.now,
    log: quietLog
  }
  const engine = createEngine(deps as unknown as EngineDeps)
  engine.start()
  t.teardown(() => engine.stop())
  await until(() => looks === 2, { what: 'a look while it is driven' })
  end()
  await new Promise((resolve) => setTimeout(resolve, 50))
  read()
  await until(() => looks > 2, { what: 'a further look' })
  t.equal(begun, 1)
})

t.test('what a host says after the operation has ended is not written over the next one', async (t) => {
  const cluster: Cluster = newDocument('openstack', '', [newHost(1)])
  let writes = 0
  const progress = createProgress({
    cluster,
    async write() {
      writes++
    },
    now: Date.now
  })
  const [host] = cluster.hosts
  if (!host) throw new Error('the document has a host')
  await progress.close()
  progress.stop()
  progress.pin(host, { hostKey: 'SHA256:late' })
  await new Promise((resolve) => setTimeout(resolve, 400))
  t.equal(writes, 1)
})

const profile = loadProfiles(fileURLToPath(new URL('../../profiles', import.meta.url)), {}).get('nats')

/** One driver of a document; what it told of the end. */
async function driven(cluster: Cluster, more: object = {}, cancelled = new AbortController().signal) {
  const told: string[] = []
  const deps = {
    shared: async () => ({ cluster, profile, files: [], secrets: {}, registries: [], keys: [] }),
    runner: { secrets: {}, settings: { connectMs: 1, lostMs: 1 } },
    write: async () => {},
    machines: () => ({ withinMs: 0, destroy: async () => {}, tidy: async () => {} }),
    settle: async () => told.push(cluster.operation.state),
    now: Date.now,
    log: quietLog,
    ...more
  }
  const lost = new AbortController().signal
  await drive(deps as unknown as DriveDeps, { cluster, epoch: 2, lost, cancelled })
  return told
}

t.test('what was done when it was cancelled has finished, and the rest is cancelled', async (t) => {
  const names = ['machines', 'boot', 'preflight', 'stage', 'install-1', 'verify']
  const statesOf = async (done: string[]) => {
    const cluster: Cluster = newDocument('openstack', '', [newHost(1)])
    const { operation } = cluster
    operation.phases = done.map((name) => ({ name, state: 'DONE' }))
    for (const host of operation.hosts) Object.assign(host, { state: 'DONE', phase: done.at(-1) })
    return [...(await driven(cluster, {}, AbortSignal.abort())), cluster.status]
  }
  t.same(await statesOf(names), ['SUCCESS', 'RUNNING'])
  t.same(await statesOf(names.slice(0, -1)), ['CANCELLED', 'FAILED'])
})

t.test('what was told as failed ends so, also where another driver could go on', async (t) => {
  const cluster: Cluster = newDocument('openstack', '', [newHost(1)])
  let outcome: unknown
  const killed = driven(cluster, {
    shared: async () => {
      throw new Error('the file nats-server is not on the control machine')
    },
    write: async (set: Record<string, unknown>) => {
      outcome = set['operation.outcome']
    },
    settle: async () => {
      throw new Error('killed')
    }
  })
  await t.rejects(killed, /killed/)
  t.match(outcome, { state: 'FAILED', message: /nats-server/ }, 'it stands in the document before it is told')
  const next: Cluster = newDocument('openstack', '', [newHost(1)])
  Object.assign(next.operation, { outcome })
  t.same(await driven(next), ['FAILED'])
})
