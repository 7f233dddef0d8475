import { base } from '../ui/place.js'
import { type Counts, Progress, Status } from '../ui/status.js'
import type { Columns } from '../ui/table.js'
import { Ago, Took } from '../ui/time.js'

/** A row of `/v1/logs/jobs` */
export interface RunRow {
  runId: string
  jobId: number
  jobName: string
  status: string
  reason: string | null
  startTime: number
  endTime: number | null
  counts: Counts
}

/** A row of `/v1/logs/jobs/clients` and `/v1/logs/clients/jobs` */
export interface ReportRow {
  reportId: string
  runId: string
  clientId: number
  mqttClientId: string
  status: string
  attempt: number
  message: string | null
  reason: string | null
  startTime: number | null
  endTime: number | null
}

export const runLink = ({ jobId, runId }: Pick<RunRow, 'jobId' | 'runId'>) => `${base}/runs/${jobId}/${runId}`

export const reportLink = (jobId: number, { runId, clientId, reportId }: ReportRow) =>
  `${base}/runs/${jobId}/${runId}/${clientId}/${encodeURIComponent(reportId)}`

export const runColumns: Columns<RunRow> = {
  Job: (run) => <a href={runLink(run)}>{run.jobName || `job ${run.jobId}`}</a>,
  Status: ({ status }) => <Status of={status} />,
  Machines: ({ counts }) => <Progress counts={counts} />,
  Begun: ({ startTime }) => <Ago at={startTime} />,
  Took: ({ startTime, endTime }) => <Took from={startTime} to={endTime} />
}

/** What a machine says of its end, or why it waits. */
export const told = ({ message, reason }: ReportRow) => reason ?? message ?? ''

/** The document's words, which filter runs and what became of them on machines. */
export const statusChoices = [
  ['', 'any status'],
  ['RUNNING', 'running'],
  ['WAITING', 'waiting'],
  ['SUCCESS', 'success'],
  ['FAILED', 'failed']
] as const
