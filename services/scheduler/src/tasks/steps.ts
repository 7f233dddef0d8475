import {
  AppError,
  compile,
  isStorePath,
  oneOf,
  overWriteModes,
  parseStorePath,
  recordOf,
  type Static,
  type Step,
  type StepType,
  stepTypes,
  TransferOption,
  Type
} from '@fleetgate/kit'
import { flatten } from '../executions/view.js'
import { sendingTypes } from '../runs/sources.js'
import { meantOf, nullable } from '../sdesFields.js'

/** Verbs that bring a file from one place to another. */
const movingTypes: readonly StepType[] = ['SEND_FILE', 'BROADCAST', 'RECV_FILE', 'COPY_FILE']
/** What can be asked in `conditions` of an IF. */
const conditionTypes: readonly StepType[] = ['GET_FILE_STATUS']

export const maxSteps = 500
const maxDepth = 8
const Path = Type.String({ maxLength: 4096, pattern: '^[^\\u0000]*$' })

/** One step as the document writes it; branches are checked one level at a time, so that a message can name its place. */
export const ScriptDraft = Type.Object({
  scriptId: Type.Optional(nullable(Type.Integer())),
  type: oneOf(stepTypes),
  order: Type.Optional(nullable(Type.Integer())),
  filePath: Type.Optional(nullable(Path)),
  targetFilePath: Type.Optional(nullable(Path)),
  createFilePath: Type.Optional(nullable(Type.Boolean())),
  ignoreHiddenFile: Type.Optional(nullable(Type.Boolean())),
  block: Type.Optional(nullable(Type.Boolean())),
  retryTimes: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 100 }))),
  maxRetryTime: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 100 }))),
  retryInterval: Type.Optional(nullable(Type.Number({ minimum: 0, maximum: 86_400 }))),
  overWrite: Type.Optional(nullable(oneOf(overWriteModes))),
  transferOption: Type.Optional(nullable(recordOf(Type.Unknown()))),
  arguments: Type.Optional(nullable(Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 100 }))),
  timeout: Type.Optional(nullable(Type.Number({ exclusiveMinimum: 0, maximum: 86_400 }))),
  conditions: Type.Optional(nullable(Type.Array(Type.Unknown()))),
  true: Type.Optional(nullable(Type.Array(Type.Unknown()))),
  false: Type.Optional(nullable(Type.Array(Type.Unknown())))
})
type ScriptDraft = Static<typeof ScriptDraft>
const checkDraft = compile(ScriptDraft)
const checkTransfer = compile(Type.Object({ transferOption: TransferOption }))

/** A checked step that has no number yet, or keeps the one it was saved with. */
export type UnnumberedStep = Omit<Step, 'scriptId' | 'conditions' | 'true' | 'false'> & {
  scriptId?: number
  conditions?: UnnumberedStep[]
  true?: UnnumberedStep[]
  false?: UnnumberedStep[]
}

/** Checks a whole tree; the first fault is refused with the place where it stands. `stored` is the tree that it replaces. */
export function checkSteps(drafts: readonly unknown[], stored: readonly Step[] = []): UnnumberedStep[] {
  const retries = new Map(flatten(stored).map(({ step }) => [step.scriptId, step.retryTimes]))
  const steps = checkLevel(drafts, { place: '', depth: 1, allowed: stepTypes, retries })
  if (stepsWithin(steps).length > maxSteps) throw new AppError('invalid_input', `a task has at most ${maxSteps} steps`)
  return steps
}

interface Level {
  place: string
  depth: number
  allowed: readonly StepType[]
  /** What is stored of each step that is known. */
  retries: ReadonlyMap<number, number>
}

function checkLevel(drafts: readonly unknown[], level: Level): UnnumberedStep[] {
  if (level.depth > maxDepth) throw invalid(level.place, `conditions nest at most ${maxDepth} deep`)
  const steps = drafts.map((draft, index) => toStep(draft, { ...level, place: `${level.place}[${index}]` }))
  // The order of the list decides between equal numbers.
  return steps.sort((a, b) => a.order - b.order)
}

function toStep(raw: unknown, level: Level): UnnumberedStep {
  const draft = parse(raw, level.place)
  refuseUnsupported(draft.type, level)
  requirePaths(draft, level.place)
  const step: UnnumberedStep = {
    type: draft.type,
    order: draft.order ?? 0,
    block: draft.block ?? true,
    retryTimes: meantOf([draft.retryTimes, draft.maxRetryTime], level.retries.get(draft.scriptId ?? 0)) ?? 0,
    retryInterval: draft.retryInterval ?? 0,
    overWrite: draft.overWrite ?? 'OVERWRITE',
    ...present({
      scriptId: draft.scriptId,
      filePath: draft.filePath,
      targetFilePath: draft.targetFilePath,
      createFilePath: draft.createFilePath,
      ignoreHiddenFile: draft.ignoreHiddenFile,
      transferOption: draft.transferOption,
      arguments: draft.arguments,
      timeout: draft.timeout
    })
  }
  return draft.type === 'IF' ? { ...step, ...branchesOf(draft, level) } : step
}

function branchesOf(
  draft: ScriptDraft,
  { place, depth, retries }: Level
): Pick<UnnumberedStep, 'conditions' | 'true' | 'false'> {
  if (!draft.conditions?.length) throw invalid(`${place}.conditions`, 'needs at least one condition')
  const below = { depth: depth + 1, allowed: stepTypes, retries }
  return {
    conditions: checkLevel(draft.conditions, { ...below, place: `${place}.conditions`, allowed: conditionTypes }),
    true: checkLevel(draft.true ?? [], { ...below, place: `${place}.true` }),
    false: checkLevel(draft.false ?? [], { ...below, place: `${place}.false` })
  }
}

function parse(raw: unknown, place: string): ScriptDraft {
  try {
    const draft = checkDraft(raw)
    if (draft.transferOption) checkTransfer({ transferOption: present(draft.transferOption) })
    return draft
  } catch (error) {
    const { message, details } = error as AppError
    const field = [place, details.field].filter(Boolean).join('.')
    throw new AppError('invalid_input', `${place}: ${message}`, { field }, { cause: error })
  }
}

function refuseUnsupported(type: StepType, { place, allowed }: Level): void {
  if (allowed.includes(type)) return
  throw new AppError('unsupported', `${place}: ${type} cannot be a condition; use ${allowed.join(', ')}`, {
    field: `${place}.type`
  })
}

function requirePaths(draft: ScriptDraft, place: string): void {
  if (draft.type === 'IF') return
  if (!draft.filePath) throw invalid(`${place}.filePath`, `is required for ${draft.type}`)
  requireStored(draft.filePath, draft.type, place)
  if (movingTypes.includes(draft.type) && !draft.targetFilePath) {
    throw invalid(`${place}.targetFilePath`, `is required for ${draft.type}`)
  }
}

function requireStored(path: string, type: StepType, place: string): void {
  if (!isStorePath(path)) return
  const field = `${place}.filePath`
  if (!sendingTypes.includes(type))
    throw invalid(field, `names a stored file, which only ${sendingTypes.join(' and ')} take`)
  if (parseStorePath(path)) return
  throw invalid(field, 'is none of store:<sha256>, store:<fileName> and store:<clientId>/<fileName>')
}

function invalid(field: string, reason: string): AppError {
  return new AppError('invalid_input', `${field} ${reason}`, { field })
}

function present<T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}

/** With those inside others. */
export function stepsWithin(steps: readonly UnnumberedStep[]): UnnumberedStep[] {
  return steps.flatMap((step) => [step, ...childrenOf(step).flatMap(stepsWithin)])
}

function childrenOf(step: UnnumberedStep): UnnumberedStep[][] {
  return [step.conditions ?? [], step.true ?? [], step.false ?? []]
}

/** Numbers every step. One that names a number it had in this task before keeps it; `next` gives the new ones. */
export function numberSteps(steps: readonly UnnumberedStep[], known: ReadonlySet<number>, next: () => number): Step[] {
  const left = new Set(known)
  const number = (step: UnnumberedStep): Step => {
    const keeps = step.scriptId !== undefined && left.delete(step.scriptId)
    const { conditions, true: yes, false: no, ...plain } = step
    return {
      ...plain,
      scriptId: keeps && step.scriptId !== undefined ? step.scriptId : next(),
      ...(conditions ? { conditions: conditions.map(number) } : {}),
      ...(yes ? { true: yes.map(number) } : {}),
      ...(no ? { false: no.map(number) } : {})
    }
  }
  return steps.map(number)
}
