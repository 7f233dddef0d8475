import type { Execution, ExecutionState } from '../executions/execution.js'

/** What must be known of an execution to send its command. */
export const dueFields = { mqttClientId: 1, clientId: 1, state: 1, attempt: 1, epoch: 1, tries: 1, dueAt: 1 } as const

export type Due = Pick<
  Execution,
  '_id' | 'mqttClientId' | 'clientId' | 'state' | 'attempt' | 'epoch' | 'tries' | 'dueAt'
>

/** NOTHING: only machines at work are asked how they are. AGAIN: those too that were sent a command and are silent. */
export type GivesOut = 'ALL' | 'NEW' | 'AGAIN' | 'NOTHING'

const statesToSend = {
  ALL: ['QUEUED', 'DISPATCHED', 'RUNNING'],
  NEW: ['QUEUED'],
  AGAIN: ['DISPATCHED', 'RUNNING'],
  NOTHING: ['RUNNING']
} satisfies Record<GivesOut, ExecutionState[]>

export interface DueOptions {
  now: number
  isBehind: boolean
  givesOut: GivesOut
}

/** Every execution of these runs to which something is to be sent now. */
export function dueFilter(runIds: string[], { now, isBehind, givesOut }: DueOptions) {
  const states: ExecutionState[] = statesToSend[givesOut].filter((state) => state === 'QUEUED' || !isBehind)
  const isDue = { hold: 'NONE' as const, state: { $in: states }, dueAt: { $lte: now } }
  return { runId: { $in: runIds }, open: true as const, ...isDue }
}
