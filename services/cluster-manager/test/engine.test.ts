import { quietLog, until } from '@fleetgate/testkit'
import t from 'tap'
import type { Cluster } from '../src/clusters/cluster.js'
import { createEngine, type EngineDeps } from '../src/operations/engine.js'
import { createProgress } from '../src/operations/progress.js'
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
