import type { ExecutionCommand, Step } from '@fleetgate/contracts/fleet'
import type { AgentConfig } from '../config.js'
import type { Launch } from '../journal/records.js'
import type { Log } from '../log.js'
import type { Paths } from '../paths.js'
import type { Runner } from '../runs/runner.js'
import type { Contents } from '../transfer/contents.js'
import type { Downloads } from '../transfer/download.js'
import type { Offers } from '../transfer/offers.js'

/** How a step ended. */
export interface Outcome {
  status: 'SUCCESS' | 'FAILED'
  message: string
  exitCode?: number | undefined
  output?: string | undefined
  /** What the step answers as a condition of an IF; absent if it could not tell. */
  answer?: boolean | undefined
  /** Trying again would be wrong, whatever the step allows. */
  isFinal?: boolean | undefined
}

/** What the steps work with; the same for all. */
export interface StepParts {
  config: AgentConfig
  paths: Paths
  downloads: Downloads
  contents: Contents
  offers: Offers
  runner: Runner
  log: Log
}

/** One try of one step. */
export interface StepContext {
  parts: StepParts
  command: ExecutionCommand
  step: Step
  /** From 1. */
  tryNumber: number
  /** Aborted when the attempt is superseded or the agent shuts down. */
  signal: AbortSignal
  /** Earlier launches of this step's program, oldest first. */
  launches(): Launch[]
  /** Resolves when the launch is in the journal. */
  launch(): Promise<Launch>
  /** What `make` found when it was called first in this attempt; in the journal before it is answered. */
  plan(make: () => Promise<string[]>): Promise<string[]>
  /** Adds a line to the step's log. */
  say(message: string): void
}

export type StepRun = (context: StepContext) => Promise<Outcome>

/** The agent stops; the step goes on from the journal after the next start. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
}

/** A step cannot be done, for a reason that its log shall show. */
export class StepError extends Error {
  override readonly name = 'StepError'
}

export function requiredPath(
  step: Pick<Step, 'filePath' | 'targetFilePath'>,
  field: 'filePath' | 'targetFilePath'
): string {
  const path = step[field]
  if (!path) throw new StepError(`${field} is required`)
  return path
}
