import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Launch } from '../journal/records.js'
import { type Call, windowsCall } from '../platform/windowsPrograms.js'
import { resolveProgram } from '../programs.js'
import type { RunOrder } from '../runs/runFiles.js'
import type { RunEnd } from '../runs/runner.js'
import { type Outcome, requiredPath, type StepContext, StepError, Stopped } from './step.js'

const tailBytes = 4096
/** A timer that is to wait for longer does not wait at all. */
const longestTimerMs = 2 ** 31 - 1

/**
 * EXECUTE_FILE: runs a program of the allow-list, argument by argument, without a shell. The one verb that is not
 * repeatable, so a launch is in the journal before the program starts, and an agent that comes back looks for what became
 * of it instead of starting it again.
 */
export async function executeFile(context: StepContext): Promise<Outcome> {
  const left = context.launches().at(-1)
  if (left && left.tryNumber === context.tryNumber) {
    const end = await follow(context, left)
    if (end.kind !== 'notStarted') return conclude(context, left, end)
    context.say('the agent had stopped before the program was started; starting it now')
  }
  const order = await toOrder(context)
  context.signal.throwIfAborted()
  const launch = await context.launch()
  await context.parts.runner.start(launch.folder, order)
  return conclude(context, launch, await follow(context, launch))
}

async function toOrder({ parts, step }: StepContext): Promise<RunOrder> {
  const { config, paths } = parts
  const program = await resolveProgram(requiredPath(step, 'filePath'), config.programs, paths)
  await access(program, constants.X_OK).catch(() => {
    throw new StepError(`${program} is not executable by this agent`)
  })
  const folder = dirname(program)
  return {
    ...callOf(program, step.arguments ?? []),
    cwd: paths.contains(folder) ? folder : (paths.roots[0] ?? folder),
    timeoutMs: Math.min(step.timeout ? step.timeout * 1000 : config.programTimeoutMs, longestTimerMs)
  }
}

function callOf(program: string, args: string[]): Call {
  if (process.platform !== 'win32') return { program, args }
  try {
    return windowsCall(program, args, process.env.SYSTEMROOT)
  } catch (error) {
    throw new StepError((error as Error).message)
  }
}

/** Waits for the end; when the attempt is given up the program is ended first, so that two never run side by side. */
async function follow({ parts, signal }: StepContext, { folder }: Launch): Promise<RunEnd> {
  try {
    return await parts.runner.wait(folder, signal)
  } catch (error) {
    if (!signal.aborted || signal.reason instanceof Stopped) throw error
    await parts.runner.cancel(folder)
    return parts.runner.wait(folder, AbortSignal.timeout(30_000))
  }
}

async function conclude({ parts, step, signal }: StepContext, { folder }: Launch, end: RunEnd): Promise<Outcome> {
  const output = await parts.runner.outputTail(folder, tailBytes)
  if (end.kind === 'notStarted') return { status: 'FAILED', message: 'the runner of the program could not start' }
  if (end.kind === 'unknown') {
    const message = `INDETERMINATE: the program was started and its end is unknown (${end.detail}); it is not run again`
    return { status: 'FAILED', message, output, isFinal: true }
  }
  const { exitCode, signal: endedBy, timedOut, cancelled, error } = end.exit
  if (signal.aborted) return { status: 'FAILED', message: reasonOf(signal), exitCode, output, isFinal: true }
  if (error !== undefined) return { status: 'FAILED', message: `the program could not be started: ${error}`, output }
  if (timedOut) return { status: 'FAILED', message: `ended after ${step.timeout ?? 'the default'} s`, exitCode, output }
  if (cancelled)
    return { status: 'FAILED', message: 'its runner was told to end the program', exitCode, output, isFinal: true }
  if (endedBy) return { status: 'FAILED', message: `ended by signal ${endedBy}`, output }
  const isGood = exitCode === 0
  return { status: isGood ? 'SUCCESS' : 'FAILED', answer: isGood, message: `exit code ${exitCode}`, exitCode, output }
}

function reasonOf(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : 'given up'
}
