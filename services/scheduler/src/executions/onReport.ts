import { compile, type Delivered, type Log, Report, type UplinkMessage } from '@fleetgate/kit'
import { applyChanges } from './applyChanges.js'
import type { ExecutionStore } from './executionStore.js'
import { planChanges, type ReceivedReport } from './reports.js'

const checkReport = compile(Report)

export interface OnReportDeps {
  executions: ExecutionStore
  log: Log
  now: () => number
  silenceTimeoutMs: number
  /** Told which runs have moved. */
  onProgress: (runIds: string[]) => Promise<void>
}

/** up/report: one read and one bulk write for a whole batch; the batch is acknowledged after that. */
export function createOnReport(deps: OnReportDeps) {
  return async function onReport(messages: readonly Delivered<UplinkMessage>[]): Promise<void> {
    const reports = messages.flatMap(({ data }) => parse(data, deps.log))
    if (reports.length === 0) return
    const heads = await deps.executions.heads([...new Set(reports.map(({ report }) => report.executionId))])
    const { changes, refusals } = planChanges(reports, heads)
    for (const refusal of refusals) deps.log.warn(refusal, 'report refused')
    if (changes.length === 0) return
    const { log, silenceTimeoutMs } = deps
    await applyChanges(changes, { executions: deps.executions.collection, now: deps.now(), silenceTimeoutMs })
    for (const { executionId, attempt, isLate, notKept } of changes) {
      if (notKept > 0) log.warn({ executionId, attempt, events: notKept }, 'events not kept: the log is full')
      if (isLate) log.info({ executionId, attempt }, 'late report of an older attempt kept, not applied')
    }
    // One that was over may have ended by these same messages, and whoever applied them died before it could tell.
    const moved = changes.filter(({ transition, wasOver }) => transition || wasOver)
    await deps.onProgress([...new Set(moved.map(({ runId }) => runId))])
  }
}

function parse(message: UplinkMessage, log: Log): ReceivedReport[] {
  const { tenantId, clientId, receivedAt } = message
  try {
    const report = checkReport(JSON.parse(Buffer.from(message.payload).toString('utf8')))
    return [{ tenantId, clientId, receivedAt, report }]
  } catch (error) {
    log.warn({ clientId, reason: (error as Error).message }, 'report is not readable, dropped')
    return []
  }
}
