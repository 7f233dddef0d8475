import { createApi, startParts, startService, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, keys, makeJob, newTenant, startFleet, successOf } from './support.js'

const count = 60

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(120_000)

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
    fleet.onExecution = async (command) => {
      await fleet.succeed(command)
      if (killed) return
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
})
