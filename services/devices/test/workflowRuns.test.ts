import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { createEngine } from '../src/workflows/engine.js'
import type { Executor, Result } from '../src/workflows/executor.js'
import { createRunStore } from '../src/workflows/runStore.js'
import type { WorkflowStore } from '../src/workflows/workflowStore.js'

/** Runs as several processes share them. */
const leaseMs = 600
const parts = await startParts(t, { nats: false })
let clock = 1_800_000_000_000
const now = () => clock

/** A process of its own, on the same database. */
async function processOf(owner: string) {
  const store = await openStore({ uri: parts.mongoUri, database: 'runs', log: quietLog })
  t.teardown(() => store.close())
  const runs = createRunStore({ store, now, owner, leaseMs })
  await store.sync()
  return runs
}
const [one, two] = [await processOf('one'), await processOf('two')]
const wish = (tenantId: string, once: string) => ({
  tenantId,
  workflowId: `w-${tenantId}`,
  version: 1,
  once: [once],
  input: '{}',
  depth: 1
})

await t.test('the same cause starts one run, whoever hears of it', async (t) => {
  const found = await Promise.all([one, two].map((runs) => runs.insert([wish('cause', 'a'), wish('cause', 'b')])))
  t.equal(found.flat().length, 2)
})

await t.test('a tenant has so many runs at once, over all processes', async (t) => {
  await one.insert(Array.from({ length: 10 }, (_, i) => wish('many', `${i}`)))
  const running: { id: string; finish: () => Promise<void> }[] = []
  // Of several who want the same run one gets it, and the others look again.
  for (let round = 0; round < 10; round++) {
    const claims = [one, two, one, two].map(async (runs) => {
      const run = await runs.claimNext('many', 3)
      if (run) running.push({ id: run.id, finish: () => runs.finish(run, 'SUCCESS', undefined) })
    })
    await Promise.all(claims)
  }
  t.equal(running.length, 3)
  t.equal(new Set(running.map(({ id }) => id)).size, 3)
  t.equal(await one.countQueued('many'), 7)
  await running[0]?.finish()
  t.ok(await two.claimNext('many', 3), 'a place that is free again is taken')
  t.equal(await one.claimNext('many', 3), undefined)
  await until(async () => (await two.takeOver()) === undefined && (await two.takeOver()) === undefined, {
    what: 'no more'
  })
})

await t.test('a process that was frozen past its lease writes nothing more of its run', async (t) => {
  const [id = ''] = await one.insert([wish('frozen', 'a')])
  const run = await one.claimNow(id)
  t.ok(run)
  if (!run) return
  await one.begin(run, 'first')
  t.not((await two.takeOver())?.id, id, 'not before its lease has ended')
  const taken = await until(
    async () => {
      const next = await two.takeOver()
      return next?.id === id ? next : undefined
    },
    { what: 'the end of the lease' }
  )
  t.match(taken, { begun: 'first', epoch: run.epoch + 1 }, 'the other knows what was begun')
  for (const write of [() => one.begin(run, 'second'), () => one.finish(run, 'SUCCESS', undefined)])
    await t.rejects(write, { message: /was taken over/ })
  await two.finish(taken, 'ERROR', 'not known')
  t.match(await one.find('frozen', id), { state: 'ERROR', message: 'not known' })
})

await t.test('a run that could not be kept is taken up again, however busy its process is with others', async (t) => {
  const trouble = new Set<string>()
  const runs = {
    ...one,
    finish: async (...args: Parameters<typeof one.finish>) => {
      const [{ id }] = args
      if (trouble.delete(id)) throw new Error('the database went away for a moment')
      return one.finish(...args)
    }
  }
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const [busy = '', unlucky = ''] = await one.insert([wish('busy', 'a'), wish('busy', 'b')])
  trouble.add(unlucky)
  const done: Result = { status: 'SUCCESS', traces: [], answer: {} } as never
  const executor = {
    run: async ({ runId }: { runId: string }) => {
      if (runId === busy) await held
      return done
    }
  } as unknown as Executor
  const nodes = [{ id: 'in', componentName: 'trigger', data: { parameters: {} } }]
  const design = JSON.stringify({ nodes, edges: [] })
  const workflows = { designOf: async () => design } as unknown as WorkflowStore
  const options = {
    runs,
    workflows,
    executor,
    log: quietLog,
    now,
    places: 5,
    runTimeoutMs: 60_000,
    leaseMs,
    pollMs: 50
  }
  const engine = createEngine(options)
  t.teardown(() => engine.stop())
  await until(async () => (await one.find('busy', unlucky))?.state === 'SUCCESS', { what: 'the unlucky run' })
  t.equal((await one.find('busy', busy))?.state, 'RUNNING', 'the other is at work all the while')
  release()
  await until(async () => (await one.find('busy', busy))?.state === 'SUCCESS', { what: 'the busy one' })
})

await t.test('logs go when they are too old, and only they', async (t) => {
  const [old = '', waiting = ''] = await one.insert([wish('old', 'a'), wish('old', 'b')])
  const run = await one.claimNow(old)
  if (run) await one.finish(run, 'SUCCESS', undefined)
  await one.removeOlder(clock)
  t.ok(await one.find('old', old), 'of this moment')
  clock += 1
  await one.removeOlder(clock)
  t.equal(await one.find('old', old), undefined)
  t.match(await one.find('old', waiting), { state: 'QUEUED' }, 'what has not run yet stays')
})
