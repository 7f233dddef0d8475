import { inOrder } from './servers.js'
import type { RunSource } from './sources.js'

export interface ServerMachine {
  mqttClientId: string
  /** Bound to the job: asked before others. */
  isBound: boolean
  /** A person, or its enrolment, made it a SERVER: asked before those that call themselves so. */
  isChosen: boolean
}

export type StageStep =
  | { kind: 'ask'; server: string; isNew: boolean }
  | { kind: 'wait' }
  | { kind: 'noServer' }
  | { kind: 'fail'; error: string }

export interface StageTimes {
  now: number
  repeatMs: number
  patienceMs: number
}

/**
 * What to do next to get a file offered. One SERVER machine is asked again and again until it answers; a silent or
 * vanished one is joined by the next, whose answer may come first; one that answers with an error is out. When every
 * machine that could be asked has answered with an error, that error is the answer.
 */
export function nextStageStep(source: RunSource, servers: readonly ServerMachine[], times: StageTimes): StageStep {
  const failed = new Set(source.errors.map(({ server }) => server))
  const able = servers.filter(({ mqttClientId }) => !failed.has(mqttClientId))
  if (able.length === 0) return failed.size > 0 ? { kind: 'fail', error: errorOf(source) } : { kind: 'noServer' }
  const current = able.find(({ mqttClientId }) => mqttClientId === source.asked.at(-1))
  const fresh = inOrder(able).find(({ mqttClientId }) => !source.asked.includes(mqttClientId))
  const { now, repeatMs, patienceMs } = times
  const isPatient = current !== undefined && now - (source.askedAt ?? 0) < patienceMs
  if (!isPatient && fresh) return { kind: 'ask', server: fresh.mqttClientId, isNew: true }
  const again = current ?? inOrder(able)[0]
  if (!again) return { kind: 'wait' }
  if (!current) return { kind: 'ask', server: again.mqttClientId, isNew: true }
  if (now - (source.sentAt ?? 0) < repeatMs) return { kind: 'wait' }
  return { kind: 'ask', server: again.mqttClientId, isNew: false }
}

function errorOf({ errors }: RunSource): string {
  const [only] = errors
  if (errors.length === 1 && only) return only.error
  return errors.map(({ server, error }) => `${server}: ${error}`).join('; ')
}
