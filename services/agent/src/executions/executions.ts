import { type ExecutionCommand, type StopCommand, traceFieldsOf } from '@fleetgate/contracts/fleet'
import type { Attempt, Book } from '../journal/book.js'
import type { Log } from '../log.js'
import type { Reports } from '../reports.js'
import { type StepParts, Stopped } from '../steps/step.js'
import { createRecorder } from './recorder.js'
import { runExecution } from './runExecution.js'

/** Takes commands, once each, and works them off. */
export interface Executions {
  /** Resolves when the command is in the journal. `flaw`: why it can only be refused. */
  accept(command: ExecutionCommand, flaw?: string): Promise<void>
  /** Ends this attempt, programs included. Resolves when that is in the journal; an attempt that is not known is noted as ended. */
  end(command: StopCommand): Promise<void>
  /** Goes on with what an earlier life left unfinished. */
  resume(): void
  /** Stops all work where it is; programs go on under their runners. */
  stop(): Promise<void>
}

export interface ExecutionsOptions {
  book: Book
  reports: Reports
  parts: StepParts
  concurrency: number
  now: () => number
  /** Milliseconds by a clock that nobody sets. */
  elapsed: () => number
  log: Log
}

interface Job {
  attempt: Attempt
  flaw: string | undefined
  /** When nothing of it may begin any more, by the clock that nobody sets. */
  lateAt: number
  control: AbortController
  done?: Promise<void>
}

export function createExecutions(options: ExecutionsOptions): Executions {
  const { book, reports, parts, concurrency, now, elapsed, log } = options
  const waiting: Job[] = []
  const working = new Set<Job>()
  let isStopped = false

  async function accept(command: ExecutionCommand, flaw?: string): Promise<void> {
    if (isStopped) return
    const known = book.latest(command.executionId)
    if (known && command.attempt < known.attempt) {
      log.info({ executionId: command.executionId, attempt: command.attempt }, 'command of an older attempt ignored')
    } else if (known && command.attempt === known.attempt) {
      repeat(known, command.epoch)
    } else {
      if (known && !known.finished) supersede(known, command.attempt)
      const { attempt, durable } = book.receive(command, now())
      createRecorder(attempt, book, reports, now).received()
      const trace = traceFieldsOf(command.traceparent)
      log.info({ executionId: attempt.executionId, attempt: attempt.attempt, ...trace }, 'execution received')
      await durable
      enqueue(attempt, flaw)
    }
  }

  function repeat(known: Attempt, epoch: number): void {
    if (epoch > known.epoch) book.adoptEpoch(known, epoch)
    if (known.finished) reports.repeat(known)
    else reports.kick(known, true)
  }

  function supersede(known: Attempt, by: number): void {
    abort(known, `superseded by attempt ${by}`)
  }

  function abort(known: Attempt, reason: string): void {
    const job = [...working, ...waiting].find((each) => each.attempt === known)
    job?.control.abort(new Error(reason))
    startNext()
  }

  async function end({ executionId, attempt, reason }: StopCommand): Promise<void> {
    if (isStopped) return
    const known = book.latest(executionId)
    if (known?.attempt === attempt) return endKnown(known, reason)
    // Noted, so that a command of it that comes late starts nothing.
    const nothing = { executionId, attempt, runId: '', jobId: 0, epoch: 1, tasks: [], sources: {} }
    await accept(nothing, reason)
  }

  async function endKnown(known: Attempt, reason: string): Promise<void> {
    if (known.finished) return reports.repeat(known)
    log.info({ executionId: known.executionId, attempt: known.attempt, reason }, 'execution is being stopped')
    await book.stop(known, reason)
    abort(known, reason)
  }

  function enqueue(attempt: Attempt, flaw?: string): void {
    const job: Job = { attempt, flaw, lateAt: lateAt(attempt), control: new AbortController() }
    // Before it begins: told in an earlier life.
    if (attempt.stopped !== undefined) job.control.abort(new Error(attempt.stopped))
    waiting.push(job)
    startNext()
  }

  /**
   * The system's clock alone can tell how long ago an earlier life took the command. From then on it is not asked again: one that
   * is put right, by decades on a machine without a battery, must not end a run.
   */
  function lateAt({ command, receivedAt }: Attempt): number {
    const { expiresInMs = Number.POSITIVE_INFINITY } = command ?? {}
    return elapsed() + expiresInMs - Math.max(0, now() - receivedAt)
  }

  function startNext(): void {
    while (!isStopped) {
      // Two attempts of one execution never run side by side: the older one ends first. One that was given up needs no room.
      const index = waiting.findIndex(
        ({ attempt, control }) =>
          (working.size < concurrency || control.signal.aborted) &&
          ![...working].some((job) => job.attempt.executionId === attempt.executionId)
      )
      const [job] = index < 0 ? [] : waiting.splice(index, 1)
      if (!job) return
      working.add(job)
      job.done = work(job).finally(() => {
        working.delete(job)
        startNext()
      })
    }
  }

  async function work({ attempt, control, flaw, lateAt }: Job): Promise<void> {
    const { executionId, command } = attempt
    const recorder = createRecorder(attempt, book, reports, now)
    try {
      // Refused, or stopped before it came: after a restart nothing but the empty command tells.
      if (flaw !== undefined || !command?.tasks.length)
        return recorder.finished('FAILED', flaw ?? attempt.stopped ?? 'there is nothing to do')
      const obstacle = () => obstacleOf(control.signal, elapsed() > lateAt)
      await runExecution({ command, book, recorder, parts, signal: control.signal, obstacle })
    } catch (error) {
      if (error instanceof Stopped) return
      log.error({ err: error, executionId }, 'execution broke')
      recorder.finished('FAILED', `the agent failed: ${error instanceof Error ? error.message : String(error)}`)
    }
    const { finished } = attempt
    const trace = traceFieldsOf(command?.traceparent)
    log.info({ executionId, attempt: attempt.attempt, status: finished?.status, ...trace }, 'execution finished')
  }

  return {
    accept,
    end,
    resume: () => {
      for (const attempt of book.attempts()) {
        if (attempt.finished) continue
        enqueue(attempt)
        const newest = book.latest(attempt.executionId)
        if (newest && newest !== attempt) supersede(attempt, newest.attempt)
      }
    },
    stop: async () => {
      isStopped = true
      for (const job of working) job.control.abort(new Stopped('the agent stops'))
      await Promise.all([...working].map((job) => job.done))
    }
  }
}

/**
 * Past the run's deadline nothing new begins; what is at work goes on to its own end, because its result is worth more
 * than a half-done step.
 */
function obstacleOf(signal: AbortSignal, isLate: boolean): string | undefined {
  if (signal.aborted) {
    if (signal.reason instanceof Stopped) throw signal.reason
    return signal.reason instanceof Error ? signal.reason.message : 'given up'
  }
  return isLate ? "the run's deadline has passed" : undefined
}
