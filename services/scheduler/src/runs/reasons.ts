import { isStorePath } from '@fleetgate/kit'
import type { Execution } from '../executions/execution.js'
import { rateAt } from './pace.js'
import type { Run } from './run.js'
import type { SourceHead } from './sources.js'

type RunHead = Pick<Run, 'state' | 'pausedAt' | 'stop'>
type WaitingRun = RunHead &
  Pick<Run, 'pace'> & {
    sources: Record<string, SourceHead>
    job?: Pick<Run['job'], 'maxConcurrentSession' | 'rollout'>
  }

export interface WaitingAt {
  now: number
  /** Machines at work on the job; known where the job bounds them. */
  atWork?: number | undefined
}

export type Waiting = Pick<Execution, 'state' | 'hold' | 'attempt' | 'begun' | 'dueAt'>

/** Not at work yet, or out of reach at its work. */
export function isWaiting({ state, hold, attempt, begun = 0 }: Waiting): boolean {
  if (state === 'RUNNING') return hold !== 'NONE' || begun < attempt
  return state === 'QUEUED' || state === 'DISPATCHED'
}

/** Why an execution waits; nothing for one that is at work, or that has ended. */
export function waitingReason(run: WaitingRun, execution: Waiting, { now, atWork = 0 }: WaitingAt): string | undefined {
  const { state, hold, attempt, dueAt = 0 } = execution
  if (!isWaiting(execution)) return undefined
  if (state === 'RUNNING') return holdReason(hold) ?? 'the machine has the command, which waits in its own queue'
  if (run.pausedAt !== undefined) return 'the run is paused'
  if (run.state === 'PREPARING') return preparingReason(run)
  const held = holdReason(hold)
  if (held) return held
  if (state === 'DISPATCHED') return 'the command was sent, waiting for the machine to confirm it'
  if (dueAt > now && attempt > 1) return `attempt ${attempt} begins in ${Math.ceil((dueAt - now) / 1000)} s`
  return turnReason(run, atWork) ?? 'about to be sent'
}

function holdReason(hold: Execution['hold']): string | undefined {
  if (hold === 'OFFLINE') return 'machine is offline'
  return hold === 'DISABLED' ? 'machine is disabled' : undefined
}

function turnReason({ job, pace }: WaitingRun, atWork: number): string | undefined {
  const most = job?.maxConcurrentSession
  if (most && atWork >= most) return `waiting for a free session (${atWork} of ${most} at work)`
  if (!job?.rollout) return undefined
  return `waiting for its turn in the rollout (${rateAt(job.rollout, pace?.activeMs ?? 0)} machines a minute)`
}

function preparingReason({ sources }: Pick<WaitingRun, 'sources'>): string {
  const waiting = Object.values(sources).find(({ state }) => state === 'WAITING' || state === 'ASKED')
  if (!waiting) return 'the run is being prepared'
  if (isStorePath(waiting.path)) return `waiting for the central store to find ${waiting.path}`
  const server = waiting.asked.at(-1)
  if (waiting.state === 'ASKED' && server) return `waiting for the SERVER machine ${server} to offer ${waiting.path}`
  return `no SERVER machine is online to offer ${waiting.path}`
}

export interface RunAt {
  now: number
  /** The files of a run that is PREPARING. */
  sources?: Record<string, SourceHead> | undefined
  /** Every machine that has not ended is offline or disabled. */
  isAway?: boolean
}

/** Why a run as a whole does not go on as usual, or did not end as usual. */
export function runReason(
  { state, pausedAt, stop, endedAt }: RunHead & Pick<Run, 'endedAt'>,
  { now, sources = {}, isAway = false }: RunAt
): string | undefined {
  const isStopped = stop !== undefined && stop.at <= (endedAt ?? now)
  if (state === 'FINISHED') return isStopped ? stop.reason : undefined
  if (isStopped) return `${stop.reason}; machines at work ${stop.by === 'SCHEDULE' ? 'may finish' : 'are told to stop'}`
  if (pausedAt !== undefined) return 'the run is paused'
  if (state === 'PREPARING') return preparingReason({ sources })
  return isAway ? 'every machine that has not ended is offline or disabled' : undefined
}
