import { performance } from 'node:perf_hooks'
import { type Session, until } from '@fleetgate/testkit'
import type { Account } from '../demo/account.js'
import { bodyOf, get, type Page, post, put } from '../demo/client.js'
import { createMqttUser } from '../demo/machines.js'
import { createLoss, inLanes } from './lanes.js'
import { createMachine, type MachineOptions, type SimulatedMachine } from './simulatedMachine.js'

export interface Fleet {
  machines: SimulatedMachine[]
  finished: Set<string>
  connectMs: number
  /** Until the scheduler lists all of them as online. */
  onlineMs: number
  clientIds: number[]
  close(): void
}

export interface Round {
  /** From `run` until the last machine had its result acknowledged. */
  reportedMs: number
  /** From `run` until the log API shows every result. */
  visibleMs: number
  succeeded: number
  jobId: number
}

const username = 'bench-machines'

/** What the machine of this index does beside connecting and reporting. */
export type Conduct = (clientId: string, index: number) => Pick<MachineOptions, 'role' | 'perform' | 'onMessage'>

export async function connectFleet(
  account: Account,
  mqttUrl: string,
  count: number,
  conduct: Conduct = () => ({})
): Promise<Fleet> {
  const { session } = account
  const password = await createMqttUser(account, username)
  const { hostname: host, port } = new URL(mqttUrl)
  const finished = new Set<string>()
  const loss = createLoss()
  const machines = Array.from({ length: count }, (_, index) => {
    const clientId = `bench-${String(index + 1).padStart(5, '0')}`
    return createMachine({
      clientId,
      ...conduct(clientId, index),
      host,
      port: Number(port || 1883),
      username,
      password,
      onFinished: (executionId) => void finished.add(executionId),
      onLost: loss.tell
    })
  })
  const pings = setInterval(() => machines.forEach((machine) => void machine.ping()), 45_000)
  const begun = performance.now()
  await Promise.race([loss.happened, inLanes(machines, (machine) => machine.connect())])
  const connectMs = performance.now() - begun
  const clientIds = await until(() => onlineIds(session, count), {
    what: 'all machines online',
    deadlineMs: 120_000,
    everyMs: 100
  })
  const onlineMs = performance.now() - begun
  const close = () => {
    clearInterval(pings)
    for (const machine of machines) machine.close()
  }
  return { machines, finished, connectMs, onlineMs, clientIds, close }
}

interface ClientRow {
  clientId: number
}

/** The machines' numbers once all are online, page by page. */
async function onlineIds(session: Session, count: number): Promise<number[] | undefined> {
  const query = (page: number, size: number) =>
    `/v1/clients?pageNo=${page}&pageSize=${size}&status=ONLINE&mqttClientIdContain=bench-`
  const first = await get<Page<ClientRow>>(session, query(1, 1))
  if (first.total < count) return undefined
  const ids: number[] = []
  for (let page = 1; ids.length < first.total; page += 1) {
    const { list } = await get<Page<ClientRow>>(session, query(page, 1000))
    if (list.length === 0) break
    ids.push(...list.map(({ clientId }) => clientId))
  }
  return ids.length >= count ? ids : undefined
}

interface FleetIntegration {
  id: string
  device_count?: number
  entity_count?: number
}

const restMs = 5000

/** Milliseconds until devices has made a device of each new machine, with all that is told of it: nothing more came for some seconds. */
export async function untilDevices(session: Session, count: number): Promise<number> {
  const begun = performance.now()
  let [entities, changedAt] = [0, begun]
  const isQuiet = async () => {
    const { data } = await post<{ data: FleetIntegration[] }>(session, '/integration/search', {})
    const { device_count = 0, entity_count = 0 } = data.find(({ id }) => id === 'fleet') ?? {}
    if (entity_count !== entities) [entities, changedAt] = [entity_count, performance.now()]
    return device_count >= count && performance.now() - changedAt > restMs
  }
  await until(isQuiet, { what: 'all machines as devices', deadlineMs: 600_000, everyMs: 500 })
  return changedAt - begun
}

const isThere = { type: 'GET_FILE_STATUS', order: 0, filePath: 'release.bin', block: true }
const install = { type: 'EXECUTE_FILE', order: 0, filePath: 'bin/install', arguments: ['release.bin'], block: true }
const threeSteps = [isThere, { type: 'IF', order: 1, block: true, conditions: [isThere], true: [install], false: [] }]

/** One job of these steps on all machines. */
export async function createJob(
  session: Session,
  clientIds: number[],
  scripts: object[] = threeSteps
): Promise<number> {
  const stamp = Date.now()
  const task = { taskName: `Bench ${stamp}`, description: '', priority: 0, disableValidation: false, enabled: true }
  const { taskId } = await post<{ taskId: number }>(session, '/v1/tasks', task)
  await post(session, `/v1/tasks/${taskId}/scripts`, scripts)
  const job = {
    jobName: `Bench ${stamp}`,
    description: '',
    enabled: true,
    maxRetries: 0,
    retryWait: 0,
    priority: 0,
    cycleType: 0,
    executionTime: ''
  }
  const { jobId } = await post<{ jobId: number }>(session, '/v1/jobs', job)
  await put(session, `/v1/jobs/${jobId}/tasks`, [taskId])
  await put(session, `/v1/jobs/${jobId}/clients`, clientIds)
  return jobId
}

interface RunRow {
  status: string
  counts: { total: number; succeeded: number; failed: number }
}

export async function runOnce(session: Session, fleet: Fleet, scripts?: object[]): Promise<Round> {
  const jobId = await createJob(session, fleet.clientIds, scripts)
  const { length: count } = fleet.clientIds
  fleet.finished.clear()
  const begun = performance.now()
  bodyOf(await session.get(`/v1/jobs/${jobId}/run`), 'running the job')
  const limits = { deadlineMs: 300_000, everyMs: 25 }
  const reported = until(() => fleet.finished.size >= count, { what: 'every machine to report', ...limits }).then(
    () => performance.now() - begun
  )
  const visible = until(() => allVisible(session, jobId, count), { what: 'every result in the log', ...limits })
  const [reportedMs, row] = await Promise.all([
    reported,
    visible.then((found) => ({ found, at: performance.now() - begun }))
  ])
  return { reportedMs, visibleMs: row.at, succeeded: row.found.counts.succeeded, jobId }
}

async function allVisible(session: Session, jobId: number, count: number): Promise<RunRow | undefined> {
  const { list } = await get<Page<RunRow>>(session, `/v1/logs/jobs?status=ALL&pageNo=1&pageSize=1&jobId=${jobId}`)
  const [row] = list
  return row && row.counts.succeeded + row.counts.failed >= count && row.counts.total >= count ? row : undefined
}
