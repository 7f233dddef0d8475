import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ReportEvent } from '@fleetgate/contracts/fleet'
import type { Session } from '@fleetgate/testkit'
import { get, type Page } from '../demo/client.js'
import type { Machine } from '../demo/machines.js'
import type { Database } from './database.js'
import { some } from './load.js'
import type { SoakMachine } from './machine.js'

export interface Accepted {
  runId: string
  jobId: number
  isCancelled: boolean
}

export interface ExecutionDoc {
  _id: string
  runId: string
  mqttClientId: string
  state: string
  attempt: number
  message?: string
  log?: Record<string, Record<string, ReportEvent>>
}

const minuteMs = 60_000
/** Of each minute. */
const atSecond = 20
export const eachMinute = `${atSecond} * * * * *`

/** Runs that were accepted and have not ended, or whose counts do not add up. */
export async function openRuns(
  session: Session,
  database: Database,
  accepted: Map<string, Accepted>
): Promise<string[]> {
  interface RunDoc {
    _id: unknown
    state: string
    open?: true
    counts: { total: number; succeeded: number; failed: number }
  }
  const runs = (await database.of('scheduler', 'runs').find().toArray()) as unknown as RunDoc[]
  const known = new Set(runs.map(({ _id }) => String(_id)))
  const missing = [...accepted.keys()].filter((runId) => !known.has(runId)).map((runId) => `run ${runId} is not there`)
  const open = runs
    .filter(({ state, open: isOpen }) => state !== 'FINISHED' || isOpen)
    .map(({ _id, state, counts }) => `run ${_id} is ${state}: ${JSON.stringify(counts)}`)
  const odd = runs
    .filter(({ counts: { total, succeeded, failed } }) => total === 0 || succeeded + failed !== total)
    .map(({ _id, counts }) => `run ${_id} has the counts ${JSON.stringify(counts)}`)
  const { total } = await get<Page<unknown>>(session, '/v1/logs/jobs?status=ALL&pageNo=1&pageSize=1')
  const shown = total === runs.length ? [] : [`the log shows ${total} runs of ${runs.length}`]
  return [...some(missing), ...some(open), ...some(odd), ...shown]
}

/** Machines that are connected and not known to be. */
export async function offline(session: Session, names: string[]): Promise<string[]> {
  type Row = { mqttClientId: string; status: string }
  const path = '/v1/clients?pageNo=1&pageSize=500&status=ONLINE&mqttClientIdContain='
  const pages = await Promise.all(['soak-', 'demo-'].map((part) => get<Page<Row>>(session, `${path}${part}`)))
  const online = new Set(pages.flatMap(({ list }) => list.map(({ mqttClientId }) => mqttClientId)))
  return names.filter((name) => !online.has(name)).map((name) => `${name} is connected and counts as offline`)
}

/** Each moment of the schedule has one run, whoever was away. */
export async function missedMoments(
  database: Database,
  jobId: number,
  span: { from: number; to: number }
): Promise<string[]> {
  const runs = await database.of('scheduler', 'runs').find({ jobId }).toArray()
  const opened = runs.map(({ scheduledFor }) => Number(scheduledFor))
  const first = Math.floor(span.from / minuteMs) * minuteMs + atSecond * 1_000
  const faults: string[] = []
  for (let at = first; at < span.to; at += minuteMs) {
    const times = opened.filter((one) => one === at).length
    if (at > span.from && times !== 1) faults.push(`the moment ${new Date(at).toISOString()} has ${times} runs`)
  }
  return faults
}

/** What was acknowledged and is not in the log. */
export function reportFaults(machines: SoakMachine[], found: ExecutionDoc[]): string[] {
  const byId = new Map(found.map((one) => [one._id, one]))
  const faults = machines.flatMap((machine) =>
    machine.attempts().flatMap(({ executionId, attempt, acknowledged }) => {
      const log = byId.get(executionId)?.log?.[attempt] ?? {}
      const lost = [...acknowledged].filter((seq) => !(seq in log))
      return lost.length > 0 ? [`${executionId}, attempt ${attempt}: acknowledged but not in the log: ${lost}`] : []
    })
  )
  return some(faults)
}

/** Final states that are not what the machine said last. */
export function stateFaults(machines: SoakMachine[], found: ExecutionDoc[], accepted: Map<string, Accepted>): string[] {
  const open = found.filter(({ state }) => state !== 'SUCCEEDED' && state !== 'FAILED')
  const said = new Map(
    machines.flatMap((one) => one.attempts()).map((one) => [`${one.executionId} ${one.attempt}`, one])
  )
  const wrong = found.flatMap(({ _id, runId, state, attempt, message }) => {
    const last = said.get(`${_id} ${attempt}`)?.events.at(-1)
    if (!last || accepted.get(runId)?.isCancelled) return []
    const wanted = last.status === 'SUCCESS' ? 'SUCCEEDED' : 'FAILED'
    return state === wanted ? [] : [`${_id} is ${state} (${message}), its machine said ${last.status}`]
  })
  return [...some(open.map(({ _id, state, attempt }) => `${_id} is ${state}, attempt ${attempt}`)), ...some(wrong)]
}

/** Programs of the agents that did not run once for each execution that says so. */
export function programFaults(stores: Machine[], found: ExecutionDoc[]): string[] {
  return stores.flatMap(({ name, root }) => {
    const mine = found.filter(({ mqttClientId }) => mqttClientId === name)
    const ran = readFileSync(join(root, 'notes'), 'utf8').split('\n').length - 1
    const events = mine.flatMap(({ log = {} }) => Object.values(log).flatMap((attempt) => Object.values(attempt)))
    const reported = events.filter(({ exitCode }) => exitCode === 0).length
    const unknown = events.filter(({ message }) => message?.startsWith('INDETERMINATE')).length
    const gaps = mine.flatMap(({ _id, log = {} }) =>
      Object.entries(log)
        .filter(([, attempt]) => Math.max(...Object.keys(attempt).map(Number)) !== Object.keys(attempt).length)
        .map(([attempt]) => `${_id}, attempt ${attempt}: its log has gaps`)
    )
    const isRight = ran >= reported && ran <= reported + unknown
    return [...some(gaps), ...(isRight ? [] : [`${name} ran its program ${ran} times and reported ${reported} times`])]
  })
}
