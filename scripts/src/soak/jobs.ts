import { randomUUID } from 'node:crypto'
import { put } from '../demo/client.js'
import type { Machine } from '../demo/machines.js'
import { createJob } from '../fleet/fanout.js'
import type { Database } from './database.js'
import { connectMachines, fileSteps, numbersOf, startAgents } from './fleet.js'
import {
  type Accepted,
  type ExecutionDoc,
  eachMinute,
  missedMoments,
  offline,
  openRuns,
  programFaults,
  reportFaults,
  stateFaults
} from './jobFaults.js'
import { type Ground, type Load, repeat } from './load.js'

export interface JobsLoad extends Load {
  agents: Machine[]
  /** Executions that failed, by what is said of them. */
  failures(): Promise<Record<string, number>>
}

const cancelsOneIn = 8
/** Moments close to the ends of the soak do not count. */
const slackMs = 20_000

/** Jobs on machines of MQTT clients and on real agents, run by hand, by a schedule, run twice with one key, and cancelled. */
export async function startJobs(ground: Ground, database: Database): Promise<JobsLoad> {
  const { asker, random, account } = ground
  const { session } = account
  const machines = await connectMachines(ground)
  const { agents, stores, refile } = await startAgents(ground)
  const clientIds = await numbersOf(session, machines)
  const quick = await createJob(session, clientIds)
  await put(session, '/v1/jobs', { jobId: quick, maxRetries: 1, retryWait: 1 })
  const scheduled = await createJob(session, clientIds.slice(0, 3))
  const filed = await createJob(
    session,
    stores.map(({ clientId }) => clientId),
    fileSteps
  )
  await put(session, '/v1/jobs', { jobId: scheduled, cycleType: 5, executionTime: eachMinute })
  const span = { from: Date.now() + slackMs, to: 0 }
  const accepted = new Map<string, Accepted>()

  /** With one key, so a repeat after a lost answer names the same run. */
  async function run(jobId: number): Promise<Accepted | undefined> {
    const key = randomUUID()
    const asked: string[] = []
    for (let times = 0; times < 3 && asked.length < 1 + Math.round(random.next()); times += 1) {
      const headers = { 'idempotency-key': key }
      const reply = await asker.ask({ method: 'get', path: `/v1/jobs/${jobId}/run`, headers })
      if (reply) asked.push(reply.headers.get('x-run-id') ?? '')
    }
    const [runId] = asked
    if (runId === undefined) return undefined
    if (asked.some((other) => other !== runId)) doubled.push(`job ${jobId}: one key opened ${asked.join(' and ')}`)
    const one = { runId, jobId, isCancelled: false }
    accepted.set(runId, one)
    return one
  }
  const doubled: string[] = []

  async function runQuick(): Promise<void> {
    const one = await run(quick)
    if (!one || random.next() * cancelsOneIn >= 1) return
    // Whether the answer comes or not, it may have been done.
    one.isCancelled = true
    await asker.ask({ method: 'put', path: `/v1/jobs/${one.jobId}/runs/${one.runId}/cancel`, body: {} })
  }

  async function runFiled(): Promise<void> {
    refile()
    await run(filed)
  }

  const loops = [
    repeat(runQuick, () => random.between(300, 1_500)),
    repeat(runFiled, () => random.between(2_000, 6_000))
  ]
  const executions = () => database.of('scheduler', 'executions').find().toArray() as unknown as Promise<ExecutionDoc[]>
  return {
    agents,
    counts: () => ({
      'runs accepted': accepted.size,
      'reports acknowledged': machines
        .flatMap((one) => one.attempts())
        .reduce((sum, one) => sum + one.acknowledged.size, 0)
    }),
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()))
      span.to = Date.now() - slackMs
      await put(session, `/v1/jobs/${scheduled}/disable`, {})
    },
    async faults() {
      const found = await executions()
      return [
        ...doubled,
        ...(await openRuns(session, database, accepted)),
        ...(await offline(session, [...machines.map(({ clientId }) => clientId), ...agents.map(({ name }) => name)])),
        ...(await missedMoments(database, scheduled, span)),
        ...reportFaults(machines, found),
        ...stateFaults(machines, found, accepted),
        ...programFaults(stores, found),
        ...machines.filter((one) => !one.isConnected()).map(({ clientId }) => `${clientId} is not connected`)
      ]
    },
    async failures() {
      const failed = (await executions()).filter(({ state }) => state === 'FAILED')
      const words = failed.map(({ mqttClientId, message }) => `${mqttClientId.replace(/\d+$/, '…')}: ${message}`)
      return Object.fromEntries([...new Set(words)].map((one) => [one, words.filter((word) => word === one).length]))
    }
  }
}
