import { newId } from '@fleetgate/kit'
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import {
  createRandom,
  type Json,
  makeJob,
  newTenant,
  type Received,
  type Replica,
  startFleet,
  startReplica
} from '../support.js'
import { type ModelRun, Reference, type Rules } from './reference.js'

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(240_000)

const steps = 20
const machineCount = 4
const seeds: [seed: number, rules: Rules][] = [
  [20_301_017, { maxConcurrentSession: 0, maxRetries: 1 }],
  [20_301_018, { maxConcurrentSession: 2, maxRetries: 0 }],
  [20_301_019, { maxConcurrentSession: 3, maxRetries: 1 }]
]
const wireStates: Record<string, string> = { QUEUED: 'WAITING', RUNNING: 'WORKING', DISPATCHED: 'ON ITS WAY' }

t.test('random orders, connections and reports leave what the reference model says', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const env = { SWEEP_MS: '40', ACK_TIMEOUT_MS: '60000', SILENCE_TIMEOUT_MS: '60000', CONNECT_GRACE_MS: '0' }
  const commands = new Map<string, Received>()
  fleet.onExecution = (command) => {
    commands.set(command.executionId, command)
    return fleet.report(command, [{ seq: 1, at: Date.now(), kind: 'RECEIVED' }])
  }

  for (const [seed, rules] of seeds) {
    t.test(`seed ${seed}`, async (t) => {
      const random = createRandom(seed)
      const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)]
      const model = new Reference(rules)
      const tenantId = newTenant()
      const names = Array.from({ length: machineCount }, (_, i) => `m${i}-${tenantId}`)
      let replica: Replica = await startReplica(t, { parts, database: 'model', env })
      const api = () => replica.as({ tenantId })

      await fleet.connect(tenantId, names)
      for (const name of names) model.online.add(name)
      await until(async () => (await api().get<Json>('/v1/clients?status=ONLINE')).body.total === machineCount, {
        what: 'the machines'
      })
      const { jobId, clientIds } = await makeJob(api(), { clients: names, job: { ...rules } })
      for (const name of names) model.bound.add(name)
      const idOf = (name: string) => clientIds[names.indexOf(name)] as number

      async function seen() {
        const clients = (await api().get<Json>('/v1/clients?pageSize=100')).body.list
        const rows = (await api().get<Json>(`/v1/logs/jobs/clients?jobId=${jobId}&pageSize=1000`)).body.list
        const runs = (await api().get<Json>(`/v1/logs/jobs?jobId=${jobId}&pageSize=1000`)).body.list
        return {
          online: clients.filter((c: Json) => c.status === 'ONLINE').map((c: Json) => c.mqttClientId as string),
          rows: rows as Json[],
          runs: new Map<string, string>(runs.map((run: Json) => [run.runId, run.status]))
        }
      }

      /** Takes over which machines got a free session; the rest of what is seen has to be as the model has it. */
      function compare({ online, rows, runs }: Awaited<ReturnType<typeof seen>>): {
        expected: unknown
        found: unknown
      } {
        const working = rows.filter(({ state, runId, mqttClientId, attempt }) => {
          const cell = model.runs.find(({ id }) => id === runId)?.cells.get(mqttClientId)
          // A view from before a failure shows the attempt that failed.
          return state === 'RUNNING' && attempt === cell?.attempt
        })
        if (working.length === model.expectedAtWork()) {
          for (const { run, name } of model.eligible()) {
            if (working.some((row) => row.runId === run.id && row.mqttClientId === name)) model.adopt(run, name)
          }
        }
        const found = rows.map(({ runId, mqttClientId, state, attempt, message }) =>
          [runId, mqttClientId, wireStates[state] ?? state, attempt, state === 'QUEUED' ? null : message].join()
        )
        const expected = model.runs.flatMap(({ id, cells }) =>
          [...cells].map(([name, { state, attempt, message }]) =>
            [id, name, state, attempt, state === 'WAITING' ? null : messageOf(state, attempt, message)].join()
          )
        )
        return {
          expected: {
            atWork: model.expectedAtWork(),
            online: [...model.online].sort(),
            rows: expected.sort(),
            runs: model.runs.map(statusOf)
          },
          found: {
            atWork: model.atWork().length,
            online: online.sort(),
            rows: found.sort(),
            runs: model.runs.map(({ id }) => runs.get(id))
          }
        }
      }

      function statusOf(run: ModelRun): string {
        if (model.isOpen(run)) return 'RUNNING'
        return [...run.cells.values()].every(({ state }) => state === 'SUCCEEDED') ? 'SUCCESS' : 'FAILED'
      }

      async function settle(what: string): Promise<void> {
        let last: ReturnType<typeof compare> | undefined
        const agrees = async () => {
          last = compare(await seen())
          return JSON.stringify(last.found) === JSON.stringify(last.expected)
        }
        await until(agrees, { what: `the state after ${what}` }).catch((error) => {
          t.strictSame(last?.found, last?.expected, `after ${what}`)
          throw error
        })
      }

      const orders: Record<string, () => Promise<unknown>> = {
        async connect() {
          const name = pick(names.filter((one) => !model.online.has(one)))
          if (!name) return
          model.online.add(name)
          await fleet.connect(tenantId, [name], 'STORE')
        },
        async disconnect() {
          const name = pick([...model.online])
          if (!name) return
          model.online.delete(name)
          await fleet.disconnect(tenantId, [name])
        },
        async bind() {
          const name = pick(names) as string
          model.bound.add(name)
          t.equal((await api().put(`/v1/jobs/${jobId}/clients`, [idOf(name)])).status, 200)
        },
        async unbind() {
          const name = pick(names) as string
          model.bound.delete(name)
          t.equal((await api().put(`/v1/jobs/${jobId}/clients/remove`, [idOf(name)])).status, 200)
        },
        async enable() {
          model.isEnabled = random() < 0.7
          await api().put(`/v1/jobs/${jobId}/${model.isEnabled ? 'enable' : 'disable'}`)
        },
        async run() {
          const headers = { 'idempotency-key': newId() }
          const answers = await Promise.all([1, 2].map(() => api().get(`/v1/jobs/${jobId}/run`, headers)))
          t.strictSame(
            answers.map(({ status }) => status),
            model.canRun() ? [200, 200] : [409, 409]
          )
          const ids = new Set(answers.map((answer) => answer.headers.get('x-run-id')))
          t.equal(ids.size, 1, 'one run for one key')
          if (model.canRun()) model.open([...ids][0] as string)
        },
        cancel: () => control('cancel'),
        pause: () => control('pause'),
        resume: () => control('resume'),
        async report() {
          const at = pick(model.atWork().filter(({ name }) => model.online.has(name)))
          if (at) await finish(at, random() < 0.6)
        },
        async restart() {
          await replica.stop()
          replica = await startReplica(t, { parts, database: 'model', env })
        }
      }

      async function control(word: 'cancel' | 'pause' | 'resume'): Promise<void> {
        const open = model.runs.filter((run) => model.isOpen(run))
        const run = pick(random() < 0.8 && open.length > 0 ? open : model.runs)
        if (!run) return
        const { status } = await api().put(`/v1/jobs/${jobId}/runs/${run.id}/${word}`)
        t.equal(status, model.order(run, word) ? 200 : 409, word)
      }

      async function finish({ run, name }: { run: ModelRun; name: string }, isSuccess: boolean): Promise<void> {
        const command = commands.get(`${run.id}-${idOf(name)}`) as Received
        const status = isSuccess ? ('SUCCESS' as const) : ('FAILED' as const)
        await fleet.report(command, [
          { seq: 2, at: Date.now(), kind: 'FINISHED', status, message: isSuccess ? '' : 'broken' }
        ])
        model.finish(run, name, isSuccess)
      }

      // A machine that comes back to a paused run is in every sequence.
      const first = ['disconnect', 'run', 'pause', 'connect']
      const often = ['run', 'run', 'report', 'report', 'report', 'report', 'pause', 'resume', 'connect', 'disconnect']
      const words = [...often, 'connect', 'cancel', 'bind', 'unbind', 'enable']
      for (let step = 0; step < steps; step++) {
        const word = first[step] ?? (step === steps / 2 ? 'restart' : (pick(words) as string))
        await orders[word]?.()
        await settle(`step ${step}, ${word}`)
      }

      // Everything that is open comes to its end.
      for (const run of model.runs) if (run.isPaused && model.order(run, 'resume')) await resume(run)
      const away = names.filter((name) => !model.online.has(name))
      await fleet.connect(tenantId, away, 'STORE')
      for (const name of away) model.online.add(name)
      await settle('everybody came back')
      while (model.atWork().length > 0) {
        for (const at of model.atWork()) await finish(at, true)
        await settle('the last reports')
      }
      t.strictSame(
        model.runs.filter((run) => model.isOpen(run)),
        []
      )
      t.ok(model.runs.length > 0)
      t.ok(fleet.received.length > 0)
      const sent = fleet.received.map(({ executionId, epoch }) => `${executionId}/${epoch}`)
      t.equal(new Set(sent).size, sent.length, 'no epoch went out twice')
      await replica.stop()

      async function resume(run: ModelRun): Promise<void> {
        t.equal((await api().put(`/v1/jobs/${jobId}/runs/${run.id}/resume`)).status, 200)
      }
    })
  }
})

/** A machine at work on a further attempt still shows how the one before it ended. */
function messageOf(state: string, attempt: number, message: string | null): string | null {
  return state === 'WORKING' && attempt > 1 ? 'broken' : message
}
