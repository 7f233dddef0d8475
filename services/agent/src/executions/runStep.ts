import { setTimeout as delay } from 'node:timers/promises'
import type { ExecutionCommand, ExecutionTask, Step } from '@fleetgate/contracts/fleet'
import { type Book, keyOf } from '../journal/book.js'
import type { Launch } from '../journal/records.js'
import { PathError } from '../paths.js'
import { stepRuns } from '../steps/index.js'
import { type Outcome, type StepContext, StepError, type StepParts, Stopped } from '../steps/step.js'
import { launchFolder } from './launchFolder.js'
import type { Recorder } from './recorder.js'

/** What the steps of one attempt share. */
export interface Course {
  command: ExecutionCommand
  book: Book
  recorder: Recorder
  parts: StepParts
  signal: AbortSignal
  /** Why no further step may begin, or nothing. Throws Stopped while the agent stops. */
  obstacle(): string | undefined
}

/** Does one step with its retries and answers how it ended; a step that ended in an earlier life is not done again. */
export async function runStep(course: Course, task: ExecutionTask, step: Step): Promise<Outcome> {
  const { recorder } = course
  const known = recorder.endOf(task.taskId, step.scriptId)
  if (known) return { ...known, status: known.status === 'SUCCESS' ? 'SUCCESS' : 'FAILED' }
  recorder.stepStarted(task.taskId, step.scriptId)
  const outcome = await withRetries(course, task, step)
  await recorder.stepEnded(task.taskId, step.scriptId, outcome)
  await removeRuns(course, keyOf({ taskId: task.taskId, scriptId: step.scriptId }))
  return outcome
}

async function withRetries(course: Course, task: ExecutionTask, step: Step): Promise<Outcome> {
  const { attempt } = course.recorder
  const key = keyOf({ taskId: task.taskId, scriptId: step.scriptId })
  for (let tryNumber = attempt.marks.get(key)?.tryNumber ?? 1; ; tryNumber += 1) {
    const outcome = await tryOnce(contextOf(course, task, step, tryNumber))
    const tries = step.retryTimes + 1
    if (outcome.status === 'SUCCESS' || outcome.isFinal || tryNumber >= tries) return outcome
    const what = `try ${tryNumber} of ${tries} failed: ${outcome.message}; trying again in ${step.retryInterval} s`
    course.recorder.say(task.taskId, step.scriptId, what)
    // A restart goes on with the next try: those that failed count.
    await course.book.mark(attempt, key, { tryNumber: tryNumber + 1 })
    await delay(step.retryInterval * 1000, undefined, { signal: course.signal }).catch(() => undefined)
    if (course.signal.aborted) return givenUp(course.signal)
  }
}

async function tryOnce(context: StepContext): Promise<Outcome> {
  const run = stepRuns[context.step.type]
  if (!run) return { status: 'FAILED', message: `${context.step.type} is unsupported by this agent`, isFinal: true }
  try {
    return await run(context)
  } catch (error) {
    if (context.signal.aborted) return givenUp(context.signal)
    const isExpected = error instanceof StepError || error instanceof PathError
    if (!isExpected) context.parts.log.warn({ err: error, scriptId: context.step.scriptId }, 'step failed')
    return { status: 'FAILED', message: error instanceof Error ? error.message : String(error) }
  }
}

/** An aborted attempt ends its steps; a stopping agent leaves them as they are, for its next start. */
function givenUp(signal: AbortSignal): Outcome {
  if (signal.reason instanceof Stopped) throw signal.reason
  return {
    status: 'FAILED',
    message: signal.reason instanceof Error ? signal.reason.message : 'given up',
    isFinal: true
  }
}

function contextOf(course: Course, task: ExecutionTask, step: Step, tryNumber: number): StepContext {
  const { command, recorder, parts, signal, book } = course
  const { attempt } = recorder
  const key = keyOf({ taskId: task.taskId, scriptId: step.scriptId })
  const launches = launchesOf(course, task, step)
  return {
    parts,
    command,
    step,
    tryNumber,
    signal,
    launches,
    launch: async () => {
      const launch: Launch = { key, folder: launchFolder(attempt, key, launches().length + 1), tryNumber }
      await book.addLaunch(attempt, launch)
      return launch
    },
    plan: async (make) => {
      const known = attempt.marks.get(key)?.plan
      if (known) return known
      const plan = await make()
      await book.mark(attempt, key, { plan })
      return plan
    },
    say: (message) => recorder.say(task.taskId, step.scriptId, message)
  }
}

function launchesOf({ recorder }: Course, task: ExecutionTask, step: Step): () => Launch[] {
  const key = keyOf({ taskId: task.taskId, scriptId: step.scriptId })
  return () => recorder.attempt.launches.filter((launch) => launch.key === key)
}

/** The result is in the journal now, so the folders have served. */
async function removeRuns({ recorder, parts }: Course, key: string): Promise<void> {
  for (const launch of recorder.attempt.launches) {
    if (launch.key !== key) continue
    await parts.runner.remove(launch.folder).catch((error) => parts.log.warn({ err: error }, 'run folder not removed'))
  }
}
