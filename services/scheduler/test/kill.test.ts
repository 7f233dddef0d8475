import { createApi, startParts, startService, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, keys, makeJob, newTenant, startFleet, successOf } from './support.js'

const count = 60

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(240_000)

t.test('a process that is killed at any moment', async (t) => {
  const parts = await startParts(t)
  const fleet = await startFleet(t, parts)
  const env = { LOG_LEVEL: 'warn', LEASE_MS: '1000', SWEEP_MS: '200', ACK_TIMEOUT_MS: '1500', CONNECT_GRACE_MS: '50' }
  const service = await startService(t, { name: 'scheduler', parts, env })
  const tenantId = newTenant()
  const api = createApi(service.url).as(keys.token({ tenantId }))
  const machines = Array.from({ length: count }, (_, i) => `m${i}-${tenantId}`)
  await fleet.connect(tenantId, machines, 'STORE')
  await until(async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === count, {
    what: 'the machines'
  })
  const program = { type: 'EXECUTE_FILE', filePath: 'x' }
  const { jobId } = await makeJob(api, { clients: machines, steps: [program, program, program] })

  /** A command of a run before may come once more. */
  function earlierOnes(): (command: { executionId: string }) => boolean {
    const earlier = new Set(fleet.received.map(({ executionId }) => executionId))
    return ({ executionId }) => earlier.has(executionId)
  }

  t.test('loses no report and does nothing twice', async (t) => {
    /** What a machine has in its journal: a command that comes again restarts nothing. */
    const begun = new Map<string, number>()
    const acknowledged = new Map<string, number>()
    let kills = 0
    fleet.onExecution = async (command) => {
      begun.set(command.executionId, (begun.get(command.executionId) ?? 0) + 1)
      if (begun.get(command.executionId) !== 1)
        return fleet.report(command, [{ seq: 1, at: Date.now(), kind: 'RECEIVED' }])
      for (const event of successOf(command)) {
        await fleet.report(command, [event])
        acknowledged.set(command.executionId, event.seq)
        const all = [...acknowledged.values()].reduce((a, b) => a + b, 0)
        // Once while the first commands go out, and again in the middle of the reports.
        if ((kills === 0 && all >= 1) || (kills === 1 && all >= 300)) {
          kills++
          await service.kill()
          await service.restart()
        }
      }
    }
    const runId = (await api.get(`/v1/jobs/${jobId}/run`)).headers.get('x-run-id')
    const row = async () => (await api.get<Json>('/v1/logs/jobs')).body.list[0]
    const ended = async () => kills === 2 && (await row())?.status === 'SUCCESS' && row()
    const run = await until(ended, { what: 'the end of the run', deadlineMs: 60_000 })
    t.match(run, { runId, counts: { total: count, succeeded: count, failed: 0 } })

    const { list } = (await api.get<Json>(`/v1/logs/jobs/clients?jobId=${jobId}&pageSize=100`)).body
    t.ok(list.every(({ attempt }: Json) => attempt === 1))
    const complete = async ({ clientId, reportId }: Json) => {
      const of = `jobId=${jobId}&clientId=${clientId}&reportId=${reportId}&taskId=1&pageSize=10`
      const { data } = (await api.get<Json>(`/v1/logs/jobs/clients/tasks/scripts?${of}`)).body
      return data.list.every(({ messages }: Json) => messages.map((m: Json) => m.message).join() === 'Successed,START')
    }
    for (const one of list) {
      await until(() => complete(one), { what: `every step of ${one.mqttClientId}` })
    }
    const sent = fleet.received.map(({ executionId, epoch }) => `${executionId}/${epoch}`)
    t.equal(new Set(sent).size, sent.length, 'no epoch went out twice')
  })

  t.test('is missed by nobody when it is the database', async (t) => {
    let killed = false
    const isEarlier = earlierOnes()
    fleet.onExecution = async (command) => {
      await fleet.succeed(command)
      if (killed || isEarlier(command)) return
      killed = true
      await parts.killEngine()
      await parts.startEngine()
    }
    const before = (await api.get<Json>('/v1/logs/jobs?status=SUCCESS')).body.total
    await api.get(`/v1/jobs/${jobId}/run`)
    const ended = async () => (await api.get<Json>('/v1/logs/jobs?status=SUCCESS')).body.total === before + 1
    await until(ended, { what: 'the end of the run', deadlineMs: 60_000 })
    t.equal(killed, true)
    t.match((await api.get<Json>('/v1/logs/jobs')).body.list[0].counts, { total: count, succeeded: count })
  })

  t.test('that is frozen past its lease and thaws changes nothing that another has done since', async (t) => {
    const begun = new Map<string, number>()
    const late: (() => Promise<void>)[] = []
    const isEarlier = earlierOnes()
    fleet.received = []
    fleet.onExecution = async (command) => {
      if (isEarlier(command)) return fleet.succeed(command)
      begun.set(command.executionId, (begun.get(command.executionId) ?? 0) + 1)
      if (begun.get(command.executionId) === 1 && begun.size > count / 2) late.push(() => fleet.succeed(command))
      else await fleet.succeed(command)
    }
    await api.get(`/v1/jobs/${jobId}/run`)
    await until(() => late.length === count - count / 2, { what: 'half of the machines at work' })
    // It drives the run: there was no other when the run began.
    const other = await startService(t, { name: 'scheduler', parts, env })
    const otherApi = createApi(other.url).as(keys.token({ tenantId }))
    process.kill(service.pid(), 'SIGSTOP')
    await Promise.all(late.map((finish) => finish()))
    const row = async () => (await otherApi.get<Json>('/v1/logs/jobs?pageSize=1')).body.list[0]
    const ended = async () => (await row())?.status === 'SUCCESS' && row()
    const before = await until(ended, { what: 'the end of the run without the frozen one', deadlineMs: 90_000 })
    process.kill(service.pid(), 'SIGCONT')
    await until(async () => (await api.get('/v1/jobs')).status === 200, { what: 'the thawed one' })
    // It is at work again when it gives out a run of its own.
    fleet.onExecution = (command) => fleet.succeed(command)
    await other.kill()
    const again = await api.get(`/v1/jobs/${jobId}/run`, { 'idempotency-key': 'after-the-thaw' })
    t.equal(again.status, 200, again.text)
    const second = async () => {
      const [last] = (await api.get<Json>('/v1/logs/jobs?pageSize=1')).body.list
      return last.runId !== before.runId && last.status === 'SUCCESS'
    }
    await until(second, { what: 'a run of the thawed one', deadlineMs: 60_000 })
    const { list } = (await api.get<Json>('/v1/logs/jobs?pageSize=2')).body
    t.match(list[1], { runId: before.runId, counts: { total: count, succeeded: count }, endTime: before.endTime })
    const sent = fleet.received.map(({ executionId, epoch }) => `${executionId}/${epoch}`)
    t.equal(new Set(sent).size, sent.length, 'no epoch went out twice')
    t.ok(
      fleet.received.every(({ attempt }) => attempt === 1),
      'and nothing was tried again'
    )
  })
})
