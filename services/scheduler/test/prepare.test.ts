import { type Bus, loadConfig, newId } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { Config, engineSettings } from '../src/config.js'
import { executionIdOf, noCounts } from '../src/executions/execution.js'
import { createJobs } from '../src/jobs/jobs.js'
import { createStores } from '../src/parts.js'
import { dueFilter } from '../src/runs/due.js'
import { createLeases, type HeldRun } from '../src/runs/leases.js'
import { createOnStaged } from '../src/runs/onStaged.js'
import { createPrepare } from '../src/runs/prepare.js'
import type { Run } from '../src/runs/run.js'

t.test('preparing a run', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'prepare', log: quietLog })
  t.teardown(() => store.close())
  const stores = createStores(store)
  await store.sync()
  const settings = engineSettings(loadConfig(Config, { MONGODB_URI: parts.mongoUri, NATS_URL: 'nats://127.0.0.1:1' }))
  const leases = createLeases(stores.runs.collection, 'me', 100_000)
  const rest = { log: quietLog, now: () => 1000, settings, selfDeclaredServers: async () => true }
  const deps = { ...stores, leases, bus: {} as Bus, ...rest }
  const prepare = createPrepare(deps)
  const jobDeps = { runs: stores.runs, timeZone: async () => 'UTC', now: () => 2000, onExpired: () => undefined }
  const jobs = createJobs({ ...jobDeps, store: stores.jobs })

  async function open(of: { jobId: number; targetIds: number[] }): Promise<HeldRun> {
    const run = runOf(of)
    await stores.runs.insert(run)
    return (await leases.renew()).find(({ _id }) => _id === run._id) as HeldRun
  }
  const addJob = async () => (await jobs.register('t1', job)).jobId
  const addClient = async (mqttClientId: string) =>
    (await stores.clients.insert('t1', { username: 'u', ip: '', enabled: true, role: 'STORE', mqttClientId }, 1))
      .clientId

  t.test('a target that was deleted before its execution was made has a result all the same', async (t) => {
    const [kept, gone] = [await addClient('kept'), await addClient('gone')]
    const held = await open({ jobId: await addJob(), targetIds: [kept, gone] })
    await stores.clients.remove('t1', gone)
    t.ok(await prepare(held), 'prepared')

    const { items } = await stores.executions.list({ tenantId: 't1' }, { offset: 0, limit: 10 })
    const byClient = new Map(items.map((item) => [item.clientId, item]))
    t.match(byClient.get(kept), { state: 'QUEUED', mqttClientId: 'kept' })
    t.match(byClient.get(gone), { state: 'FAILED', message: 'the machine was deleted', endedAt: 1000 })
    const run = await stores.runs.find('t1', held._id)
    t.match(run, { state: 'RUNNING', targets: 2, deadlineAt: 10_000, counts: { total: 2, failed: 1 } })
  })

  t.test('executions are written in the order of the targets, which is that of giving them out', async (t) => {
    const ids = []
    for (const name of ['one', 'two', 'three', 'four']) ids.unshift(await addClient(name))
    const held = await open({ jobId: await addJob(), targetIds: ids })
    t.ok(await prepare(held))
    const due = dueFilter([held._id], { now: 1000, isBehind: false, givesOut: 'NEW' })
    const found = await stores.executions.collection.find(due).toArray()
    t.strictSame(
      found.map(({ clientId }) => clientId),
      ids
    )
  })

  t.test('the job and its tasks know of the run, though the process dies before they are told', async (t) => {
    const held = await open({ jobId: await addJob(), targetIds: [] })
    const setLastRun = () => Promise.reject(new Error('killed'))
    await t.rejects(createPrepare({ ...deps, jobs: { ...stores.jobs, setLastRun } })(held), { message: 'killed' })
    t.ok(await prepare(held))
    t.match(await jobs.get('t1', held.jobId), { lastRunAt: 1 })
  })

  t.test('a run that was opened while its job was being deleted ends', async (t) => {
    const held = await open({ jobId: 999, targetIds: [] })
    await prepare(held)
    t.equal(held.deadlineAt, 1000)
    t.match(await stores.runs.find('t1', held._id), { deadlineAt: 1000, deadlineReason: 'the job was deleted' })
  })

  t.test('reports are judged by the numbers of the events that are kept, and read no log', async (t) => {
    const entry = { at: 1, kind: 'STEP_MESSAGE' as const, message: 'long' }
    const held = await open({ jobId: await addJob(), targetIds: [8, 9] })
    await prepare(held)
    const [begun, other] = [8, 9].map((clientId) => executionIdOf(held._id, clientId)) as [string, string]
    const log = { 1: { 1: entry, 3: entry }, 2: { 1: entry } }
    await stores.executions.collection.updateOne({ _id: begun }, { $set: { log } })
    const heads = await stores.executions.heads([begun, other])
    t.match(heads.get(begun), { runId: held._id, attempt: 1, seqs: { 1: ['1', '3'], 2: ['1'] } })
    t.notMatch(heads.get(begun), { log: Object })
    t.match(heads.get(other), { seqs: null })
  })

  t.test(
    'a list of files that is too long for a command, or for the run, fails its steps and holds up nobody',
    async (t) => {
      const onStaged = createOnStaged({ runs: stores.runs, log: quietLog, onProgress: async () => undefined })
      const asked = { path: '/a', ignoreHiddenFile: false, scriptIds: [1], asked: ['server'], errors: [] }
      const entry = { path: 'x'.repeat(200), sha256: 'a'.repeat(64), size: 1 }
      /** What becomes of such a list, in a run that has so many MB of another one already. */
      async function staged(count: number, megabytes: number) {
        const sources = {
          [key]: { ...asked, state: 'ASKED' as const },
          other: {
            ...asked,
            state: 'READY' as const,
            files: Array(megabytes).fill({ ...entry, path: 'x'.repeat(1024 * 1024) })
          }
        }
        const run = { ...runOf({ jobId: 997, targetIds: [] }), triggerKey: newId(), sources }
        await stores.runs.insert(run)
        const files = Array(count).fill({ ...entry, more: 'not of ours' })
        const payload = Buffer.from(JSON.stringify({ stageId: `${run._id}.${key}`, runId: run._id, files }))
        const channel = 'staged' as const
        await onStaged({ tenantId: 't1', clientId: 'server', username: '', channel, topic: '', receivedAt: 1, payload })
        return (await stores.runs.find('t1', run._id))?.sources[key]
      }
      t.strictSame((await staged(2, 1))?.files, [entry, entry])
      t.match(await staged(3000, 1), { state: 'FAILED', error: /^3000 files are too many/, files: undefined })
      t.match(await staged(1000, 12), { state: 'FAILED', error: /^1000 files are too many/, files: undefined })
    }
  )

  t.test('lists that say how it stands read no lists of files', async (t) => {
    const source = { path: '/a', ignoreHiddenFile: false, scriptIds: [1], asked: ['server'], errors: [] }
    const files = [{ path: 'b', sha256: 'a'.repeat(64), size: 1 }]
    const sources = { key: { ...source, state: 'READY' as const, files } }
    await stores.runs.insert({ ...runOf({ jobId: 998, targetIds: [7] }), _id: 'listed', sources })
    const [head] = await stores.runs.findMany('t1', ['listed'])
    t.match(head, { _id: 'listed', state: 'PREPARING', job: { name: 'roll out' }, targets: 1 })
    t.strictSame(head?.sources, { key: { path: '/a', state: 'READY', asked: ['server'] } })
    t.strictSame(await stores.runs.findMany('t2', ['listed']), [])
  })

  t.test('a job that is deleted in part can be deleted again, and its runs have ended', async (t) => {
    const held = await open({ jobId: await addJob(), targetIds: [] })
    const remove = () => Promise.reject(new Error('killed'))
    const dying = createJobs({ ...jobDeps, store: { ...stores.jobs, remove } })
    await t.rejects(dying.retire('t1', held.jobId), { message: 'killed' })
    t.match(await stores.runs.find('t1', held._id), { deadlineAt: 2000, deadlineReason: 'the job was deleted' })
    await jobs.retire('t1', held.jobId)
    await t.rejects(jobs.retire('t1', held.jobId), { code: 'not_found' })
  })
})

const key = 'ab'.repeat(8)
const job = {
  jobName: 'roll out',
  description: '',
  enabled: true,
  priority: 0,
  maxRetries: 0,
  retryWait: 0,
  cycleType: 0,
  executionTime: '',
  duration: 0
}

function runOf({ jobId, targetIds }: { jobId: number; targetIds: number[] }): Run {
  return {
    _id: newId(),
    tenantId: 't1',
    jobId,
    triggerKey: 'once',
    state: 'PREPARING',
    open: true,
    job: {
      name: 'roll out',
      description: '',
      priority: 0,
      executionTime: '',
      duration: 0,
      maxRetries: 0,
      retryWait: 0,
      lastEditedAt: 0
    },
    tasks: [],
    sources: {},
    targetIds,
    targets: targetIds.length,
    counts: { ...noCounts },
    createdAt: 1,
    deadlineAt: 10_000,
    deadlineReason: 'late',
    lease: { owner: '', until: new Date(0), epoch: 0 }
  }
}
