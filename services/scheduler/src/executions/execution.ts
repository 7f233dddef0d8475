import type { Origin, ReportEvent } from '@fleetgate/kit'

export const executionStates = ['QUEUED', 'DISPATCHED', 'RUNNING', 'SUCCEEDED', 'FAILED'] as const
export type ExecutionState = (typeof executionStates)[number]

/** Why a due execution is not sent: its machine cannot or may not work now. */
export type Hold = 'NONE' | 'OFFLINE' | 'DISABLED'

/** One event of a machine as it is kept: `at` is put right where the machine's clock was wrong. */
export type LogEntry = Omit<ReportEvent, 'seq'>

/** By the event's sequence number: the same event always lands in the same place, so order and repeats do not matter. */
export type AttemptLog = Record<string, LogEntry>

/** A report of an attempt that was already over; its events stand in that attempt's log and changed nothing. */
export interface LateReport {
  attempt: number
  receivedAt: number
  events: number
}

/** The order to a machine to end an attempt; there until the machine has said that it is over. */
export interface Halt {
  attempt: number
  reason: string
  /** When the machine is to be told (again); absent while it is away, or has been told often enough. */
  dueAt?: number
  /** Times it was told since it was last seen to come. */
  tries: number
  /** Names the bulk write that claimed the last telling. */
  claim?: string
  /** What it was ordered for. */
  origin?: Origin
}

/** One run on one machine. */
export interface Execution {
  /** `<runId>-<clientId>`: making it twice makes one. Also the `reportId` of the SDES logs. */
  _id: string
  tenantId: string
  runId: string
  jobId: number
  clientId: number
  /** The group by which the machine became a target; 0 where it was bound itself, absent where that was not kept. */
  groupId?: number
  mqttClientId: string
  /** Names that its client had while this was open. */
  formerly?: string[]
  username: string
  ip: string
  state: ExecutionState
  /** Present until the final state: partial indexes hold only what is still to be done. */
  open?: true
  hold: Hold
  attempt: number
  /** The newest attempt of which the machine has said more than that it has the command: before, it stands in a queue there. */
  begun?: number
  /** Counts the commands sent, over all attempts. */
  epoch: number
  /** Commands sent since the machine was last heard. */
  tries: number
  maxAttempts: number
  retryWaitMs: number
  /** When the engine has to send a command (again). */
  dueAt?: number
  /** Names the bulk claim that sent the last command. */
  claim?: string
  createdAt: number
  startedAt?: number
  endedAt?: number
  lastReportAt?: number
  message?: string
  log?: Record<string, AttemptLog>
  /** How each attempt ended, as its machine said. */
  ends?: Record<string, { at: number; message: string }>
  lateReports?: LateReport[]
  halt?: Halt
}

export const goneMessage = 'the machine was deleted'

/** How an execution ends whose machine is no longer there. */
export function goneEnd(now: number) {
  return { state: 'FAILED' as const, endedAt: now, message: goneMessage }
}

export function executionIdOf(runId: string, clientId: number): string {
  return `${runId}-${clientId}`
}

export interface Counts {
  total: number
  succeeded: number
  failed: number
  running: number
  waiting: number
}

export const noCounts: Counts = { total: 0, succeeded: 0, failed: 0, running: 0, waiting: 0 }

/** What is asked of the database; the rest follows from how many targets there are. */
export type CountedStates = Pick<Counts, 'succeeded' | 'failed' | 'running'>
