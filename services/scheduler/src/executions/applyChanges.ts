import type { mongo } from 'mongoose'
import type { Execution } from './execution.js'
import type { ExecutionCollection } from './executionStore.js'
import type { Change, Transition } from './reports.js'

type Write = mongo.AnyBulkWriteOperation<Execution>

export interface ApplyOptions {
  executions: ExecutionCollection
  now: number
  silenceTimeoutMs: number
}

const keptLateReports = 20

/**
 * One bulk write for a whole batch: the facts of each execution, then the transitions that they bring, many executions a
 * write. A fact stands under its attempt, so it needs no guard; a transition happens only from the attempt that it was
 * judged by and while the execution is open. (Measured: an update by _id alone costs the database 0.1 ms, any further
 * condition 0.26 ms, and an update of many 0.06 ms each.)
 */
export async function applyChanges(changes: readonly Change[], options: ApplyOptions): Promise<void> {
  if (changes.length === 0) return
  const writes = [...changes.map((change) => toFacts(change, options)), ...toTransitions(changes, options)]
  await options.executions.bulkWrite(writes, { ordered: true })
}

function toFacts(change: Change, { now, silenceTimeoutMs }: ApplyOptions): Write {
  const { executionId, attempt, entries, isLate, receivedAt, startedAt, transition, hasStopped, hasBegun } = change
  const facts: Record<string, unknown> = Object.fromEntries(
    entries.map(([seq, entry]) => [`log.${attempt}.${seq}`, entry])
  )
  if (transition && transition.to !== 'RUNNING') {
    facts[`ends.${attempt}`] = { at: transition.at, message: transition.message }
  }
  const isSoonDue = !isLate && (change.dueAt ?? 0) < now + silenceTimeoutMs / 2
  const late = { attempt, receivedAt, events: entries.length }
  return {
    updateOne: {
      filter: { _id: executionId },
      update: {
        ...(Object.keys(facts).length > 0 ? { $set: facts } : {}),
        ...(hasStopped ? { $unset: { halt: '' } } : {}),
        $min: { startedAt },
        // Whatever a machine says of its present attempt proves that it is at work: no need to ask it soon. The field is
        // indexed, so it is not moved with every message.
        $max: {
          lastReportAt: receivedAt,
          ...(hasBegun ? { begun: attempt } : {}),
          ...(isSoonDue ? { dueAt: now + silenceTimeoutMs } : {})
        },
        ...(isLate && entries.length > 0 ? { $push: { lateReports: { $each: [late], $slice: -keptLateReports } } } : {})
      }
    }
  } as Write
}

/** Executions that make the same step from the same attempt are one write. */
function toTransitions(changes: readonly Change[], options: ApplyOptions): Write[] {
  const groups = new Map<string, { attempt: number; transition: Transition; ids: string[] }>()
  for (const { executionId, attempt, transition } of changes) {
    if (!transition) continue
    const wait = transition.to === 'RETRY' ? transition.waitMs : 0
    const key = `${transition.to}/${attempt}/${wait}`
    const group = groups.get(key) ?? { attempt, transition, ids: [] }
    group.ids.push(executionId)
    groups.set(key, group)
  }
  return [...groups.values()].map((group) => toTransition(group, options))
}

function toTransition(
  { attempt, transition, ids }: { attempt: number; transition: Transition; ids: string[] },
  { now, silenceTimeoutMs }: ApplyOptions
): Write {
  const filter = { _id: { $in: ids }, attempt, open: true as const }
  if (transition.to === 'RUNNING') {
    const update = { $set: { state: 'RUNNING' as const, tries: 0, dueAt: now + silenceTimeoutMs } }
    return { updateMany: { filter: { ...filter, state: { $in: ['QUEUED', 'DISPATCHED'] } }, update } }
  }
  const message = `$ends.${attempt}.message`
  if (transition.to === 'RETRY') {
    const again = {
      state: 'QUEUED',
      attempt: attempt + 1,
      tries: 0,
      hold: 'NONE',
      dueAt: now + transition.waitMs,
      message
    }
    return { updateMany: { filter, update: [{ $set: again }] } }
  }
  const final = { state: transition.to, endedAt: `$ends.${attempt}.at`, message }
  return { updateMany: { filter, update: [{ $set: final }, { $unset: ['open', 'dueAt', 'claim'] }] } }
}
