import type { Report, ReportEvent } from '@fleetgate/kit'
import { bytesOf } from '../runs/run.js'
import type { ExecutionState, Halt, LogEntry } from './execution.js'

/** What must be known of an execution to judge a report of it. */
export interface ExecutionHead {
  _id: string
  tenantId: string
  runId: string
  mqttClientId: string
  formerly?: string[]
  attempt: number
  maxAttempts: number
  retryWaitMs: number
  state: ExecutionState
  open?: true
  dueAt?: number
  /** Of the events that are kept, by attempt. */
  seqs?: Record<string, string[]> | null
  /** Bytes of the whole document. */
  size: number
  halt?: Halt
}

export interface ReceivedReport {
  tenantId: string
  /** MQTT client id of the sender, as the broker knows it. */
  clientId: string
  receivedAt: number
  report: Report
}

export type Transition =
  | { to: 'RUNNING' }
  | { to: 'SUCCEEDED' | 'FAILED'; at: number; message: string }
  | { to: 'RETRY'; at: number; message: string; waitMs: number }

/** Everything a batch of messages means for one attempt of one execution: one change, written with guards. */
export interface Change {
  executionId: string
  runId: string
  attempt: number
  isLate: boolean
  entries: [seq: number, entry: LogEntry][]
  /** Events for which the log has no room. */
  notKept: number
  startedAt: number
  /** More was said than that the command came. */
  hasBegun?: true
  receivedAt: number
  /** When the engine would send the command again, as it was read. */
  dueAt?: number
  transition?: Transition
  /** The execution had its final state before. */
  wasOver: boolean
  /** The machine was to end this attempt, and says that it is over. */
  hasStopped?: true
}

export type RefusalReason = 'unknown execution' | 'not the machine of this execution' | 'attempt was never given out'

export interface Refusal {
  reason: RefusalReason
  executionId: string
  clientId: string
}

/** A machine that reports without end must not grow its document without end: later events count, but are not kept. */
export const maxSeq = 2000
/** Of the 16 MiB of a document: what else is written to it always has room. */
export const maxBytes = 12 * 1024 * 1024
const maxMessage = 2048
const maxOutput = 4096

/** Below this a clock is right: it is within what a message may take on its way. */
const clockToleranceMs = 2000

/** Sorts the reports of a batch into changes. Their order and repeats among them do not matter. */
export function planChanges(
  reports: readonly ReceivedReport[],
  heads: ReadonlyMap<string, ExecutionHead>
): { changes: Change[]; refusals: Refusal[] } {
  const changes = new Map<string, Change>()
  const rooms = new Map<string, Room>()
  const refusals: Refusal[] = []
  for (const received of reports) {
    const { executionId, attempt } = received.report
    const head = heads.get(executionId)
    const reason = refusalOf(received, head)
    if (reason || !head) {
      refusals.push({ reason: reason ?? 'unknown execution', executionId, clientId: received.clientId })
      continue
    }
    const key = `${executionId}/${attempt}`
    const room = rooms.get(executionId) ?? { left: maxBytes - head.size }
    rooms.set(executionId, room)
    changes.set(key, extend(changes.get(key), received, { head, room }))
  }
  return { changes: [...changes.values()], refusals }
}

function refusalOf({ tenantId, clientId, report }: ReceivedReport, head: ExecutionHead | undefined) {
  if (!head || head.tenantId !== tenantId) return 'unknown execution' satisfies RefusalReason
  if (head.mqttClientId !== clientId && !head.formerly?.includes(clientId))
    return 'not the machine of this execution' satisfies RefusalReason
  if (report.attempt > head.attempt) return 'attempt was never given out' satisfies RefusalReason
  return undefined
}

/** Bytes that the log of an execution can still take, over all its attempts. */
interface Room {
  left: number
}

interface Known {
  head: ExecutionHead
  room: Room
}

function extend(change: Change | undefined, received: ReceivedReport, known: Known): Change {
  const { head } = known
  const { report, receivedAt } = received
  const isLate = report.attempt < head.attempt
  const { entries, notKept } = addedEntries(change, received, known)
  const startedAt = Math.min(...report.events.map(({ at }) => correctedTime(at, received)))
  const isOver = report.events.some(({ kind }) => kind === 'FINISHED')
  const hasBegun = change?.hasBegun || report.events.some(({ kind }) => kind !== 'RECEIVED')
  const hasStopped = change?.hasStopped || (isOver && head.halt?.attempt === report.attempt)
  const transition = isLate || !head.open ? undefined : (ended(change) ?? transitionOf(received, head))
  return {
    executionId: head._id,
    runId: head.runId,
    attempt: report.attempt,
    isLate,
    entries: [...(change?.entries ?? []), ...entries],
    notKept,
    wasOver: !head.open,
    startedAt: Math.min(startedAt, change?.startedAt ?? startedAt),
    ...(hasBegun ? { hasBegun } : {}),
    receivedAt: Math.max(receivedAt, change?.receivedAt ?? receivedAt),
    ...(head.dueAt === undefined ? {} : { dueAt: head.dueAt }),
    ...(transition ? { transition } : {}),
    ...(hasStopped ? { hasStopped } : {})
  }
}

/** The first writing of an event stays: a repeat was sent at another moment and would shift a corrected time. */
function addedEntries(
  change: Change | undefined,
  received: ReceivedReport,
  { head, room }: Known
): Pick<Change, 'entries' | 'notKept'> {
  const { attempt, events } = received.report
  const kept = head.seqs?.[attempt]?.map(Number) ?? []
  const seen = new Set([...kept, ...(change?.entries.map(([seq]) => seq) ?? [])])
  const entries: Change['entries'] = []
  let notKept = change?.notKept ?? 0
  for (const event of events) {
    if (event.seq > maxSeq || seen.has(event.seq)) continue
    const entry = toEntry(event, received)
    const size = bytesOf(entry)
    if (size > room.left) {
      notKept++
      continue
    }
    seen.add(event.seq)
    entries.push([event.seq, entry])
    room.left -= size
  }
  return { entries, notKept }
}

function ended(change: Change | undefined): Transition | undefined {
  return change?.transition && change.transition.to !== 'RUNNING' ? change.transition : undefined
}

function transitionOf(received: ReceivedReport, head: ExecutionHead): Transition | undefined {
  const finished = received.report.events.find(({ kind }) => kind === 'FINISHED')
  // The first word of the machine, whichever it is, shows that it has the command.
  if (!finished) return head.state === 'RUNNING' ? undefined : { to: 'RUNNING' }
  const at = correctedTime(finished.at, received)
  if (finished.status === 'SUCCESS') return { to: 'SUCCEEDED', at, message: cut(finished.message, maxMessage) ?? '' }
  const message = cut(finished.message, maxMessage) || 'failed'
  if (head.attempt < head.maxAttempts) return { to: 'RETRY', at, message, waitMs: head.retryWaitMs }
  return { to: 'FAILED', at, message }
}

function toEntry(event: ReportEvent, received: ReceivedReport): LogEntry {
  const { kind, taskId, scriptId, status, message, exitCode, output } = event
  return withoutAbsent({
    at: correctedTime(event.at, received),
    kind,
    taskId,
    scriptId,
    status,
    message: cut(message, maxMessage),
    exitCode,
    output: cut(output, maxOutput)
  })
}

/**
 * The machine's time put on the broker's clock. Machines without a clock of their own begin at 1970; the moment of
 * sending against the moment of arrival tells by how much they are wrong. Nothing happens after it was told of, and a time
 * before 1970 is none: what remains of a clock that makes no sense lies between these two.
 */
export function correctedTime(
  at: number,
  { receivedAt, report }: Pick<ReceivedReport, 'receivedAt' | 'report'>
): number {
  const skew = receivedAt - report.sentAt
  const corrected = Math.abs(skew) > clockToleranceMs ? Math.round(at + skew) : at
  return Math.min(Math.max(corrected, 0), receivedAt + clockToleranceMs)
}

function cut(text: string | undefined, length: number): string | undefined {
  return text === undefined || text.length <= length ? text : text.slice(-length)
}

function withoutAbsent(entry: { [K in keyof LogEntry]: LogEntry[K] | undefined }): LogEntry {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined)) as LogEntry
}
