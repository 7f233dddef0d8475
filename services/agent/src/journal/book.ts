import type { ExecutionCommand, ReportEvent } from '@fleetgate/contracts/fleet'
import type { Journal } from './journal.js'
import type { JournalRecord, Launch, Mark, Snapshot } from './records.js'

/** What the agent knows of one attempt of one execution. */
export interface Attempt {
  readonly executionId: string
  readonly attempt: number
  epoch: number
  receivedAt: number
  /** Let go when the attempt has finished. */
  command: ExecutionCommand | undefined
  /** In order of seq; of long finished attempts only FINISHED is kept. */
  events: ReportEvent[]
  /** What conditions and IFs answered, by step key. */
  answers: Map<string, boolean>
  launches: Launch[]
  /** By step key. */
  marks: Map<string, Mark>
  /** Events up to this seq have reached the broker's side. */
  acknowledged: number
  finished: ReportEvent | undefined
  /** Why it has to end before its time. */
  stopped: string | undefined
}

/** The attempts this machine knows, in order of receipt; each change goes to the journal first. */
export interface Book {
  attempts(): Iterable<Attempt>
  /** The newest attempt of an execution. */
  latest(executionId: string): Attempt | undefined
  receive(command: ExecutionCommand, at: number): { attempt: Attempt; durable: Promise<void> }
  adoptEpoch(attempt: Attempt, epoch: number): void
  addEvent(attempt: Attempt, event: ReportEvent, answer?: boolean): Promise<void>
  addLaunch(attempt: Attempt, launch: Launch): Promise<void>
  /** Adds to what is marked of a step. */
  mark(attempt: Attempt, key: string, mark: Mark): Promise<void>
  acknowledge(attempt: Attempt, seq: number): void
  /** The first reason stays. */
  stop(attempt: Attempt, reason: string): Promise<void>
  /** Resolves when everything said so far is on disk. */
  durable(): Promise<void>
}

export interface BookLimits {
  /** Finished and acknowledged attempts of which all events are kept, for a scheduler that asks again. */
  keepEvents: number
  /** Finished attempts of which the result is kept, so that a late repeat of a command starts nothing. */
  keepResults: number
  /** The journal is not rewritten below this size. */
  compactBytes: number
}

export const defaultLimits: BookLimits = { keepEvents: 50, keepResults: 5000, compactBytes: 256 * 1024 }

export function createBook(journal: Journal, records: unknown[], limits: BookLimits = defaultLimits): Book {
  const attempts = new Map<string, Attempt>()
  const newest = new Map<string, Attempt>()
  let sizeAfterRewrite = 0
  let isRewriting = false
  for (const record of records) apply(record as JournalRecord)

  function apply(record: JournalRecord): void {
    const name = `${record.executionId}\n${record.attempt}`
    let attempt = attempts.get(name)
    if (!attempt) {
      if (record.t !== 'received' && record.t !== 'attempt') return
      attempt = blank(record.executionId, record.attempt)
      attempts.set(name, attempt)
      const known = newest.get(record.executionId)
      if (!known || known.attempt < record.attempt) newest.set(record.executionId, attempt)
    }
    applyTo(attempt, record)
  }

  function write(record: JournalRecord): Promise<void> {
    apply(record)
    return journal.append(record)
  }

  function compact(): void {
    if (isRewriting || journal.size() < Math.max(limits.compactBytes, 2 * sizeAfterRewrite)) return
    isRewriting = true
    void journal.rewrite(snapshots).then(() => {
      sizeAfterRewrite = journal.size()
      isRewriting = false
    })
  }

  function snapshots(): Snapshot[] {
    const settled = [...attempts.values()].filter(isSettled)
    for (const old of settled.slice(0, Math.max(0, settled.length - limits.keepEvents))) strip(old)
    for (const old of settled.slice(0, Math.max(0, settled.length - limits.keepResults))) {
      attempts.delete(`${old.executionId}\n${old.attempt}`)
      if (newest.get(old.executionId) === old) newest.delete(old.executionId)
    }
    return [...attempts.values()].map(toSnapshot)
  }

  return {
    attempts: () => attempts.values(),
    latest: (executionId) => newest.get(executionId),
    receive: (command, at) => {
      const { executionId, attempt, epoch } = command
      const durable = write({ t: 'received', executionId, attempt, epoch, at, command })
      return { attempt: attempts.get(`${executionId}\n${attempt}`) as Attempt, durable }
    },
    adoptEpoch: (attempt, epoch) => void write({ t: 'epoch', ...nameOf(attempt), epoch }),
    addEvent: (attempt, event, answer) => write({ t: 'event', ...nameOf(attempt), event, answer }),
    addLaunch: (attempt, launch) => write({ t: 'launch', ...nameOf(attempt), launch }),
    mark: (attempt, key, mark) => write({ t: 'mark', ...nameOf(attempt), key, mark }),
    acknowledge: (attempt, seq) => {
      void write({ t: 'acknowledged', ...nameOf(attempt), seq })
      if (isSettled(attempt)) compact()
    },
    stop: (attempt, reason) => write({ t: 'stopped', ...nameOf(attempt), reason }),
    durable: () => journal.flushed()
  }
}

function nameOf({ executionId, attempt }: Attempt): { executionId: string; attempt: number } {
  return { executionId, attempt }
}

function isSettled(attempt: Attempt): boolean {
  return attempt.finished !== undefined && attempt.acknowledged >= attempt.finished.seq
}

function blank(executionId: string, attempt: number): Attempt {
  return {
    executionId,
    attempt,
    epoch: 0,
    receivedAt: 0,
    command: undefined,
    events: [],
    answers: new Map(),
    launches: [],
    marks: new Map(),
    acknowledged: 0,
    finished: undefined,
    stopped: undefined
  }
}

function applyTo(attempt: Attempt, record: JournalRecord): void {
  if (record.t === 'received' || record.t === 'attempt') {
    attempt.epoch = Math.max(attempt.epoch, record.epoch)
    attempt.receivedAt = record.t === 'received' ? record.at : record.receivedAt
    if (!attempt.finished) attempt.command = record.command
  }
  if (record.t === 'attempt') {
    for (const event of record.events) addEvent(attempt, event)
    for (const launch of record.launches) addLaunch(attempt, launch)
    for (const [key, answer] of record.answers) attempt.answers.set(key, answer)
    for (const [key, mark] of record.marks ?? []) addMark(attempt, key, mark)
    attempt.acknowledged = Math.max(attempt.acknowledged, record.acknowledged)
    attempt.stopped ??= record.stopped
  }
  if (record.t === 'epoch') attempt.epoch = Math.max(attempt.epoch, record.epoch)
  if (record.t === 'launch') addLaunch(attempt, record.launch)
  if (record.t === 'mark') addMark(attempt, record.key, record.mark)
  if (record.t === 'acknowledged') attempt.acknowledged = Math.max(attempt.acknowledged, record.seq)
  if (record.t === 'stopped') attempt.stopped ??= record.reason
  if (record.t === 'event') {
    addEvent(attempt, record.event)
    if (record.answer !== undefined) attempt.answers.set(keyOf(record.event), record.answer)
  }
}

function addEvent(attempt: Attempt, event: ReportEvent): void {
  if (event.seq <= (attempt.events.at(-1)?.seq ?? 0)) return
  attempt.events.push(event)
  if (event.kind !== 'FINISHED') return
  attempt.finished = event
  attempt.command = undefined
}

function addLaunch(attempt: Attempt, launch: Launch): void {
  if (!attempt.launches.some((known) => known.folder === launch.folder)) attempt.launches.push(launch)
}

function addMark(attempt: Attempt, key: string, mark: Mark): void {
  attempt.marks.set(key, { ...attempt.marks.get(key), ...mark })
}

/** Names a step within its execution. */
export function keyOf({ taskId, scriptId }: { taskId?: number; scriptId?: number }): string {
  return `${taskId}/${scriptId}`
}

function strip(attempt: Attempt): void {
  attempt.events = attempt.finished ? [attempt.finished] : attempt.events
  attempt.answers.clear()
  attempt.launches = []
  attempt.marks.clear()
}

function toSnapshot(attempt: Attempt): Snapshot {
  const { epoch, receivedAt, command, events, launches, acknowledged, stopped } = attempt
  return {
    t: 'attempt',
    ...nameOf(attempt),
    epoch,
    receivedAt,
    command,
    events,
    answers: [...attempt.answers],
    launches,
    marks: [...attempt.marks],
    acknowledged,
    stopped
  }
}
