import type { ReportEvent, StepResult } from '@fleetgate/contracts/fleet'
import { type Attempt, type Book, keyOf } from '../journal/book.js'
import type { Reports } from '../reports.js'

type EventFields = Omit<ReportEvent, 'seq' | 'at' | 'kind'>

/** Writes down what happens in one attempt; what an earlier life of the agent has written is not written again. */
export interface Recorder {
  readonly attempt: Attempt
  received(): void
  taskStarted(taskId: number): void
  taskEnded(taskId: number, status: StepResult, message: string): void
  stepStarted(taskId: number, scriptId: number): void
  say(taskId: number, scriptId: number, message: string): void
  /** Resolves when it is on disk. */
  stepEnded(taskId: number, scriptId: number, end: StepEnd): Promise<void>
  finished(status: StepResult, message: string): void
  /** How a step ended in an earlier life, or nothing. */
  endOf(taskId: number, scriptId: number): StepEnd | undefined
  hasBegun(taskId: number, scriptId: number): boolean
}

export interface StepEnd {
  status: StepResult
  message: string
  exitCode?: number | undefined
  output?: string | undefined
  answer?: boolean | undefined
}

/** Room for a message and an output in every report, whatever a program or a path contains. */
const maxMessage = 2000

export function createRecorder(attempt: Attempt, book: Book, reports: Reports, now: () => number): Recorder {
  const ends = new Map<string, StepEnd>()
  const begun = new Set<string>()
  for (const event of attempt.events) {
    begun.add(`${event.kind} ${keyOf(event)}`)
    if (event.kind === 'STEP_ENDED' && event.status) ends.set(keyOf(event), toEnd(event, attempt))
  }

  function record(kind: ReportEvent['kind'], fields: EventFields = {}, answer?: boolean): Promise<void> {
    const event: ReportEvent = { seq: (attempt.events.at(-1)?.seq ?? 0) + 1, at: now(), kind, ...withoutAbsent(fields) }
    const written = book.addEvent(attempt, event, answer)
    reports.kick(attempt, kind === 'FINISHED')
    return written
  }

  function recordOnce(kind: ReportEvent['kind'], fields: EventFields): void {
    const name = `${kind} ${keyOf(fields)}`
    if (begun.has(name)) return
    begun.add(name)
    void record(kind, fields)
  }

  return {
    attempt,
    received: () => void record('RECEIVED'),
    taskStarted: (taskId) => recordOnce('TASK_STARTED', { taskId }),
    taskEnded: (taskId, status, message) => recordOnce('TASK_ENDED', { taskId, status, message }),
    stepStarted: (taskId, scriptId) => recordOnce('STEP_STARTED', { taskId, scriptId }),
    say: (taskId, scriptId, message) =>
      void record('STEP_MESSAGE', { taskId, scriptId, message: message.slice(0, maxMessage) }),
    stepEnded: (taskId, scriptId, { answer, message, ...rest }) => {
      ends.set(keyOf({ taskId, scriptId }), { answer, message, ...rest })
      return record(
        'STEP_ENDED',
        { taskId, scriptId, message: message.slice(0, maxMessage), ...withoutAbsent(rest) },
        answer
      )
    },
    finished: (status, message) => void record('FINISHED', { status, message: message.slice(0, maxMessage) }),
    hasBegun: (taskId, scriptId) => begun.has(`STEP_STARTED ${keyOf({ taskId, scriptId })}`),
    endOf: (taskId, scriptId) => ends.get(keyOf({ taskId, scriptId }))
  }
}

function toEnd(event: ReportEvent, attempt: Attempt): StepEnd {
  const { status = 'FAILED', message = '', exitCode, output } = event
  return { status, message, exitCode, output, answer: attempt.answers.get(keyOf(event)) }
}

/** The contract's fields are absent or of their type; JSON has no undefined. */
function withoutAbsent<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
