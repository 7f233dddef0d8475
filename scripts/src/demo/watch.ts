import { setTimeout as delay } from 'node:timers/promises'
import type { Session } from '@fleetgate/testkit'
import { get, type Page } from './client.js'

export interface MachineRow {
  status: 'SUCCESS' | 'FAILED' | 'RUNNING' | 'WAITING'
  mqttClientId: string
  clientId: number
  reportId: string
  attempt: number
  message: string | null
  reason: string | null
}

export interface StepRow {
  scriptId: number
  type: string
  status: string
  startTime: number | null
  endTime: number | null
  messages: { message: string }[]
  exitCode: number | null
  output: string | null
}

export interface MachineResult extends MachineRow {
  steps: StepRow[]
}

export interface Watched {
  jobId: number
  taskId: number
}

/** SEND_FILE, IF, its condition and its branch. */
export const stepsOfMachine = 4

export async function resultsOf(session: Session, { jobId, taskId }: Watched): Promise<MachineResult[]> {
  const { list } = await get<Page<MachineRow>>(
    session,
    `/v1/logs/jobs/clients?status=ALL&pageNo=1&pageSize=500&jobId=${jobId}`
  )
  const results = list.map(async (row) => {
    const query = `jobId=${jobId}&taskId=${taskId}&clientId=${row.clientId}&reportId=${row.reportId}&pageNo=1&pageSize=100`
    const steps = await get<{ data: Page<StepRow> }>(session, `/v1/logs/jobs/clients/tasks/scripts?${query}`)
    return { ...row, steps: steps.data.list }
  })
  return (await Promise.all(results)).sort((a, b) => (a.mqttClientId < b.mqttClientId ? -1 : 1))
}

/** Shows the progress until every machine has its result. */
export async function follow(
  session: Session,
  watched: Watched,
  limits: { machines: number; deadlineMs: number; show: (line: string) => void }
) {
  const end = Date.now() + limits.deadlineMs
  for (;;) {
    const results = await resultsOf(session, watched)
    limits.show(progress(results, limits.machines))
    const over = results.filter(({ status }) => status === 'SUCCESS' || status === 'FAILED')
    if (over.length >= limits.machines) return results
    if (Date.now() > end)
      throw new Error(`the job did not end within ${limits.deadlineMs / 1000} s: ${progress(results, limits.machines)}`)
    await delay(400)
  }
}

function progress(results: MachineResult[], machines: number): string {
  const ended = results.flatMap(({ steps }) => steps).filter(({ endTime }) => endTime !== null).length
  const share = Math.min(1, ended / (machines * stepsOfMachine))
  const bar = '#'.repeat(Math.round(share * 30)).padEnd(30, '.')
  const over = results.filter(({ status }) => status === 'SUCCESS' || status === 'FAILED').length
  const failed = results.filter(({ status }) => status === 'FAILED').length
  const waiting = results.find(({ reason }) => reason)?.reason
  const notes = [`${over}/${machines} machines done`, failed > 0 ? `${failed} failed` : '', waiting ?? '']
  return `[${bar}] ${String(Math.floor(share * 100)).padStart(3)} %  ${notes.filter(Boolean).join(', ')}`
}

/** One line that changes on a terminal; elsewhere a line for each change. */
export function createProgress(say: (line: string) => void, stream: NodeJS.WriteStream = process.stdout) {
  let last = ''
  return {
    show: (line: string) => {
      if (line === last) return
      last = line
      if (stream.isTTY) stream.write(`\r\x1b[K${line}`)
      else say(line)
    },
    end: () => {
      if (stream.isTTY && last) stream.write('\n')
    }
  }
}
