import { createApi, createKillAtWrite, startParts, startService, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, keys, makeJob, newTenant, programStep, startFleet, successOf } from './support.js'

const machines = 6
/** More writes than a run of so few machines takes. */
const mostWrites = 60
/** Every second one, beginning with either; all of them with WRITES=all, which takes twice as long. */
const [first, step] = process.env.WRITES === 'all' ? [1, 1] : [1 + Math.round(Math.random()), 2]
t.setTimeout(300_000)

t.test('killed after one write of a run or another, it ends every run right', async (t) => {
  const parts = await startParts(t)
  const fleet = await startFleet(t, parts)
  const death = createKillAtWrite(parts)
  const quick = {
    LEASE_MS: '600',
    SWEEP_MS: '100',
    ACK_TIMEOUT_MS: '1000',
    CONNECT_GRACE_MS: '50',
    STAGE_REPEAT_MS: '300'
  }
  const env = { LOG_LEVEL: 'warn', ...death.env, ...quick }
  const service = await startService(t, { name: 'scheduler', parts, env })
  const tenantId = newTenant()
  const api = createApi(service.url).as(keys.token({ tenantId }))
  const names = Array.from({ length: machines }, (_, i) => `m${i}-${tenantId}`)
  await fleet.connect(tenantId, names, 'STORE')
  await fleet.connect(tenantId, ['server'], 'SERVER')
  const online = async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === machines + 1
  await until(online, { what: 'the machines' })
  const steps = [{ type: 'SEND_FILE', order: 0, filePath: '/files/app.zip', targetFilePath: 'app.zip' }, programStep]
  const { jobId } = await makeJob(api, { clients: names, steps })
  const isAlive = () =>
    fetch(`${service.url}/healthz`).then(
      () => true,
      () => false
    )

  /** What a machine keeps: a command that comes again begins nothing. */
  let begun = new Map<string, number>()
  fleet.onExecution = async (command) => {
    const { executionId, attempt } = command
    const known = begun.get(executionId)
    begun.set(executionId, attempt)
    if (known !== undefined) return fleet.report(command, [{ seq: 1, at: Date.now(), kind: 'RECEIVED' }])
    for (const event of successOf(command)) await fleet.report(command, [event])
  }

  let [deaths, runs] = [0, 0]
  for (let write = first; write <= mostWrites; write += step) {
    begun = new Map()
    fleet.received = []
    death.set(write, 'runs', 'executions')
    const key = { 'idempotency-key': `write-${write}` }
    const ask = () =>
      api.get(`/v1/jobs/${jobId}/run`, key).then(
        ({ status, headers }) => (status === 200 ? (headers.get('x-run-id') ?? undefined) : undefined),
        () => undefined
      )
    let runId = await ask()
    const row = async () => {
      const { list } = (await api.get<Json>('/v1/logs/jobs?pageSize=1')).body
      return list[0]?.runId === runId ? list[0] : undefined
    }
    // It dies on the way, unless the run has fewer writes than that.
    const isDead = () => !death.isSet()
    const isOver = () =>
      row().then(
        (one) => one?.status === 'SUCCESS',
        () => false
      )
    await until(async () => isDead() || (await isOver()), { what: `write ${write}`, deadlineMs: 30_000, everyMs: 20 })
    const died = isDead()
    if (died) {
      deaths += 1
      await until(async () => !(await isAlive()), { what: 'the death' })
      await service.restart()
      runId = await until(ask, { what: 'the run that was asked for' })
    }
    const end = await until(async () => (await isOver()) && row(), {
      what: `the end after write ${write}`,
      deadlineMs: 60_000
    })
    t.match(end.counts, { total: machines, succeeded: machines, failed: 0, running: 0, waiting: 0 }, `write ${write}`)
    const { list } = (await api.get<Json>(`/v1/logs/jobs/clients?jobId=${jobId}&runId=${runId}&pageSize=100`)).body
    t.same(
      list.map((one: Json) => [one.status, one.attempt]),
      Array.from({ length: machines }, () => ['SUCCESS', 1]),
      'one final state for each machine, at the first attempt'
    )
    t.equal(begun.size, machines, 'each began once')
    const sent = fleet.received.map(({ executionId, epoch }) => `${executionId}/${epoch}`)
    t.equal(new Set(sent).size, sent.length, 'no epoch went out twice')
    const total = (await api.get<Json>(`/v1/logs/jobs?jobId=${jobId}`)).body.total
    runs += 1
    t.equal(total, runs, 'one run for each request')
    for (const { clientId, reportId } of list) {
      const of = `jobId=${jobId}&clientId=${clientId}&reportId=${reportId}&taskId=1&pageSize=10`
      const complete = async () => {
        const { data } = (await api.get<Json>(`/v1/logs/jobs/clients/tasks/scripts?${of}`)).body
        return data.list.every(
          ({ messages }: Json) => messages.map((m: Json) => m.message).join() === 'Successed,START'
        )
      }
      await until(complete, { what: `every step of ${reportId}` })
    }
    if (!died) break
  }
  await t.test('killed between a new name and what is open for it, what is open follows by itself', async (t) => {
    // The last run left its number behind.
    death.clear()
    await service.kill()
    await service.restart()
    const { list } = (await api.get<Json>(`/v1/clients?mqttClientId=${names[0]}`)).body
    const [before, after] = [list[0], `new-${names[0]}`]
    await fleet.disconnect(tenantId, [before.mqttClientId])
    await until(async () => (await api.get<Json>('/v1/clients?status=OFFLINE')).body.total === 1, {
      what: 'its absence'
    })
    begun = new Map()
    fleet.received = []
    await api.get(`/v1/jobs/${jobId}/run`)
    const row = async () => (await api.get<Json>('/v1/logs/jobs?pageSize=1')).body.list[0]
    const others = async () => (await row()).counts.succeeded === machines - 1
    await until(others, { what: 'the other machines', deadlineMs: 60_000 })
    // The first write looks whether the name is the same.
    death.set(2, 'clients')
    await t.rejects(api.put('/v1/clients', { clientId: before.clientId, mqttClientId: after }))
    await until(async () => !(await isAlive()), { what: 'the death' })
    await service.restart()
    const renamed = (await api.get<Json>(`/v1/clients?mqttClientId=${after}`)).body.list
    t.match(renamed, [{ clientId: before.clientId, status: 'OFFLINE' }])
    await fleet.connect(tenantId, [after], 'STORE')
    await until(async () => (await row()).status === 'SUCCESS', { what: 'the end', deadlineMs: 60_000 })
    t.equal(fleet.received.at(-1)?.clientId, after)
  })
  t.ok(deaths >= 8 / step, `it died after ${deaths} writes`)
  t.ok(deaths < mostWrites, 'and a run without a death came at last')
})
