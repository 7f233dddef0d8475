import type { ExecutionTask, Step } from '@fleetgate/contracts/fleet'
import { type Course, runStep } from './runStep.js'

/**
 * Runs the tasks of one attempt in order. A failed step ends its task (what is left of it is SKIPPED), and a failed
 * task ends the execution. Called again after a restart it walks the same way: ends, answers and launches of the
 * earlier life stand in the journal.
 */
export async function runExecution(course: Course): Promise<void> {
  const { recorder, command } = course
  let failure: string | undefined
  for (const task of inOrder(command.tasks)) {
    if (failure !== undefined) {
      recorder.taskEnded(task.taskId, 'SKIPPED', 'an earlier task failed')
      continue
    }
    recorder.taskStarted(task.taskId)
    failure = await runTask(course, task)
    recorder.taskEnded(task.taskId, failure === undefined ? 'SUCCESS' : 'FAILED', failure ?? 'done')
    if (failure !== undefined) failure = `task '${task.name}': ${failure}`
  }
  recorder.finished(failure === undefined ? 'SUCCESS' : 'FAILED', failure ?? 'done')
}

/** What went wrong first, or nothing. */
type Failure = string | undefined

interface Walk {
  course: Course
  task: ExecutionTask
  /** Steps with block = false, which run beside the others until the task's end. */
  beside: Promise<Settled>[]
}

async function runTask(course: Course, task: ExecutionTask): Promise<Failure> {
  const walk: Walk = { course, task, beside: [] }
  // The last one in: also when the agent stops, no step may outlive the walk that owns it.
  const ends = [await settled(runSteps(walk, task.scripts))]
  for (let index = 0; index < walk.beside.length; index += 1) ends.push(await (walk.beside[index] as Promise<Settled>))
  for (const end of ends) if ('error' in end) throw end.error
  return ends.map((end) => ('failure' in end ? end.failure : undefined)).find((failure) => failure !== undefined)
}

type Settled = { failure: Failure } | { error: unknown }

function settled(work: Promise<Failure>): Promise<Settled> {
  return work.then(
    (failure) => ({ failure }),
    (error: unknown) => ({ error })
  )
}

async function runSteps(walk: Walk, steps: Step[]): Promise<Failure> {
  let failure: Failure
  for (const step of inOrder(steps)) {
    if (failure !== undefined) await skip(walk, step, 'an earlier step failed')
    else if (step.block) failure = await runOne(walk, step)
    else walk.beside.push(settled(runOne(walk, step)))
  }
  return failure
}

async function runOne(walk: Walk, step: Step): Promise<Failure> {
  const obstacle = walk.course.recorder.hasBegun(walk.task.taskId, step.scriptId) ? undefined : walk.course.obstacle()
  if (obstacle !== undefined) {
    await end(walk, step, 'FAILED', obstacle)
    return obstacle
  }
  if (step.type === 'IF') return runIf(walk, step)
  const { status, message } = await runStep(walk.course, walk.task, step)
  return status === 'SUCCESS' ? undefined : `${step.type} (script ${step.scriptId}): ${message}`
}

async function runIf(walk: Walk, step: Step): Promise<Failure> {
  const { recorder } = walk.course
  const known = recorder.endOf(walk.task.taskId, step.scriptId)
  recorder.stepStarted(walk.task.taskId, step.scriptId)
  const decision = known ? (known.answer ?? known.message) : await decide(walk, step)
  if (typeof decision === 'string') {
    await end(walk, step, 'FAILED', decision)
    return `IF (script ${step.scriptId}): ${decision}`
  }
  // On disk before the branch acts: a restart must take the same one.
  await end(walk, step, 'SUCCESS', String(decision), decision)
  for (const other of inOrder(step[decision ? 'false' : 'true'] ?? []))
    await skip(walk, other, 'the branch is not taken')
  return runSteps(walk, step[decision ? 'true' : 'false'] ?? [])
}

/** Conditions are AND-ed, in order until one is false; one that cannot tell fails the IF, with its reason. */
async function decide(walk: Walk, step: Step): Promise<boolean | string> {
  let isTrue = true
  for (const condition of inOrder(step.conditions ?? [])) {
    if (!isTrue) {
      await skip(walk, condition, 'an earlier condition is false')
      continue
    }
    const { answer, message } = await runStep(walk.course, walk.task, condition)
    if (answer === undefined) return `condition ${condition.type} cannot be decided: ${message}`
    isTrue = answer
  }
  return isTrue
}

function skip(walk: Walk, step: Step, why: string): Promise<void> {
  return end(walk, step, 'SKIPPED', why)
}

async function end(
  walk: Walk,
  step: Step,
  status: 'SUCCESS' | 'FAILED' | 'SKIPPED',
  message: string,
  answer?: boolean
) {
  const { recorder } = walk.course
  if (recorder.endOf(walk.task.taskId, step.scriptId)) return
  await recorder.stepEnded(walk.task.taskId, step.scriptId, { status, message, answer })
}

function inOrder<T extends { order: number }>(items: T[]): T[] {
  return [...items].sort((a, b) => a.order - b.order)
}
