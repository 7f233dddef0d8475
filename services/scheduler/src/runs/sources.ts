import { createHash } from 'node:crypto'
import {
  type ExecutionTask,
  type ManifestFile,
  type Step,
  type StepType,
  type Transfer,
  transferOf
} from '@fleetgate/kit'
import { flatten } from '../executions/view.js'

export type SourceState = 'WAITING' | 'ASKED' | 'READY' | 'FAILED'

/** Steps that send what a SERVER machine offers, or the central store has. */
export const sendingTypes: readonly StepType[] = ['SEND_FILE', 'BROADCAST']

/** A file that such steps send, to be offered by a SERVER machine, or found in the central store, before the run is given out. */
export interface RunSource {
  path: string
  ignoreHiddenFile: boolean
  /** How it is to be uploaded; absent where no step says. */
  transferOption?: Partial<Transfer>
  scriptIds: number[]
  state: SourceState
  /** MQTT client ids of the machines asked, in the order of asking. */
  asked: string[]
  /** When the last of them was asked for the first time, and for the last time. */
  askedAt?: number
  sentAt?: number
  errors: { server: string; error: string }[]
  files?: ManifestFile[]
  /** Of a file of the central store: what it is called at machines. */
  name?: string
  error?: string
}

/** What tells how the asking stands. */
export type SourceHead = Pick<RunSource, 'path' | 'state' | 'asked'>

export function stepsOf(tasks: readonly ExecutionTask[]): Step[] {
  return tasks.flatMap(({ scripts }) => flatten(scripts).map((place) => place.step))
}

/** Each distinct file of the SEND_FILE and BROADCAST steps, also of those inside an IF. */
export function sourcesOf(tasks: readonly ExecutionTask[]): Record<string, RunSource> {
  const found = new Map<string, RunSource>()
  for (const step of stepsOf(tasks)) {
    if (!sendingTypes.includes(step.type) || !step.filePath) continue
    const key = sourceKey(step)
    const source = found.get(key) ?? newSource(step)
    source.scriptIds.push(step.scriptId)
    found.set(key, withTransfer(source, transferOf(step)))
  }
  return Object.fromEntries(found)
}

/** Short and made of the content alone, so that every replica and every restart asks under the same stage id. */
function sourceKey(step: Step): string {
  const text = JSON.stringify([step.filePath, step.ignoreHiddenFile ?? false])
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

function newSource(step: Step): RunSource {
  const { filePath = '', ignoreHiddenFile = false } = step
  return { path: filePath, ignoreHiddenFile, scriptIds: [], state: 'WAITING', asked: [], errors: [] }
}

/** One upload serves all steps that send the file: the lowest rate that one of them names bounds it for all. */
function withTransfer(source: RunSource, { rateLimit, compress }: Transfer): RunSource {
  const before = source.transferOption ?? {}
  const lowest = Math.min(rateLimit ?? Number.POSITIVE_INFINITY, before.rateLimit ?? Number.POSITIVE_INFINITY)
  const transferOption = {
    ...(Number.isFinite(lowest) ? { rateLimit: lowest } : {}),
    ...(compress || before.compress ? { compress: true } : {})
  }
  return Object.keys(transferOption).length > 0 ? { ...source, transferOption } : source
}

export function stageIdOf(runId: string, key: string): string {
  return `${runId}.${key}`
}

export function parseStageId(stageId: string): { runId: string; key: string } | undefined {
  const [, runId, key] = /^([0-9a-f]{32})\.([0-9a-f]{16})$/.exec(stageId) ?? []
  return runId && key ? { runId, key } : undefined
}

export function isStaged(run: { sources: Record<string, RunSource> }): boolean {
  return Object.values(run.sources).every(({ state }) => state === 'READY' || state === 'FAILED')
}
