import { outboxField, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { type Model, type mongo, type ProjectionType, Schema } from 'mongoose'
import type { OpenRuns } from '../metrics.js'
import type { Run } from './run.js'
import type { SourceHead } from './sources.js'

const leaseSchema = new Schema(
  { owner: String, until: { type: Date, required: true }, epoch: { type: Number, required: true } },
  { _id: false }
)

const runSchema = new Schema<Run>(
  {
    _id: { type: String, required: true },
    tenantId: { type: String, required: true },
    jobId: { type: Number, required: true },
    triggerKey: { type: String, required: true },
    state: { type: String, required: true },
    open: Boolean,
    result: String,
    job: { type: Schema.Types.Mixed, required: true },
    tasks: { type: Schema.Types.Mixed, required: true },
    sources: { type: Schema.Types.Mixed, required: true },
    targetIds: { type: Schema.Types.Mixed },
    targetGroups: { type: Schema.Types.Mixed },
    targets: { type: Number, required: true },
    counts: { type: Schema.Types.Mixed, required: true },
    createdAt: { type: Number, required: true },
    endedAt: Number,
    deadlineAt: { type: Number, required: true },
    deadlineReason: { type: String, required: true },
    stop: Schema.Types.Mixed,
    pausedAt: Number,
    pace: Schema.Types.Mixed,
    scheduledFor: Number,
    timeZone: String,
    requestId: String,
    traceparent: String,
    recount: Boolean,
    lease: { type: leaseSchema, required: true },
    outbox: outboxField
  } as never,
  { minimize: false }
)
runSchema.index({ tenantId: 1, jobId: 1, triggerKey: 1 }, { unique: true })
runSchema.index({ tenantId: 1, jobId: 1, createdAt: -1 })
runSchema.index({ tenantId: 1, createdAt: -1 })
runSchema.index({ tenantId: 1, 'tasks.name': 1, createdAt: -1 })
runSchema.index({ tenantId: 1, state: 1, result: 1, createdAt: -1 })
runSchema.index({ tenantId: 1, state: 1, jobId: 1, createdAt: -1, result: 1, targets: 1 })
const isOpen = { partialFilterExpression: { open: true } }
runSchema.index({ open: 1, 'lease.owner': 1 }, isOpen)
runSchema.index({ tenantId: 1, jobId: 1 }, isOpen)

const hasEnded = { partialFilterExpression: { endedAt: { $exists: true } } }
runSchema.index({ endedAt: 1 }, hasEnded)

export interface RunFilter {
  tenantId: string
  jobId?: number | undefined
  since?: number | undefined
  until?: number | undefined
  is?: 'SUCCESS' | 'FAILED' | 'OPEN' | 'PREPARING' | 'RUNNING' | undefined
}

export type RunRow = Pick<
  Run,
  | '_id'
  | 'tenantId'
  | 'jobId'
  | 'state'
  | 'result'
  | 'job'
  | 'counts'
  | 'targets'
  | 'createdAt'
  | 'endedAt'
  | 'scheduledFor'
  | 'timeZone'
  | 'stop'
  | 'pausedAt'
>

/** A run as far as is needed to know how it stands: of its files only who is asked for them, not their lists. */
export type RunHead = RunRow & Pick<Run, 'pace'> & { sources: Record<string, SourceHead> }

/** A run as far as is needed to know what its machines were given. */
export type RunTasks = Pick<Run, '_id' | 'tasks' | 'targets' | 'open'>

/** Which tasks of which runs are meant. */
export interface TasksFilter {
  tenantId: string
  taskName?: string | undefined
  /** These alone, and of each what one machine did. */
  ofOne?: string[] | undefined
}

/** Which executions are meant by what their runs know of them. */
export interface RunsFilter {
  tenantId: string
  jobId?: number | undefined
  since?: number | undefined
  /** Only what ended so; everything where it is absent. */
  ends?: readonly ('succeeded' | 'failed')[] | undefined
}

/** How many executions of a run are meant. */
export interface RunSize {
  _id: string
  rows: number
  open?: true
}

export interface RunStore {
  readonly model: Model<Run>
  /** The driver's own collection, for the engine. */
  readonly collection: mongo.Collection<Run>
  insert(run: Run): Promise<void>
  find(tenantId: string, runId: string): Promise<Run | undefined>
  findTasks(tenantId: string, runId: string): Promise<RunTasks | undefined>
  findMany(tenantId: string, runIds: string[]): Promise<RunHead[]>
  findByTrigger(tenantId: string, jobId: number, triggerKey: string): Promise<RunRow | undefined>
  findLatest(tenantId: string, jobId: number): Promise<RunRow | undefined>
  list(filter: RunFilter, page: Page): Promise<PageOf<RunRow>>
  /** How the open runs of all tenants stand, by state. */
  openRuns(): Promise<OpenRuns[]>
  openOf(tenantId: string, jobId: number): Promise<string[]>
  /** Of their jobs when they were opened, by run. */
  prioritiesOf(runIds: readonly string[]): Promise<Map<string, number>>
  /** When a run of the job succeeded after this time, if one has. */
  successAfter(tenantId: string, jobId: number, time: number): Promise<number | undefined>
  /** Of all tenants, the oldest first. */
  endedBefore(time: number, limit: number): Promise<string[]>
  removeEnded(runIds: string[]): Promise<void>
  /** How many tasks machines were given by these runs together. */
  tasksOf(filter: TasksFilter): Promise<number>
  /** The newest first, of those that had such a task. */
  taskSizes(filter: TasksFilter, page: Page): Promise<RunSize[]>
  /** How many executions these runs have together; of an open run as of its latest count. */
  rowsOf(filter: RunsFilter): Promise<number>
  /** The newest first. */
  sizes(filter: RunsFilter, page: Page): Promise<RunSize[]>
  /** Lets open runs of a job end now. */
  expireOpen(tenantId: string, jobId: number, now: number, reason: string): Promise<void>
}

const openCounts = ['waiting', 'running', 'succeeded', 'failed'] as const

const rowFields = 'tenantId jobId state result job counts targets createdAt endedAt scheduledFor timeZone stop pausedAt'

const sourceHead = { k: '$$this.k', v: { path: '$$this.v.path', state: '$$this.v.state', asked: '$$this.v.asked' } }
const headFields: Record<string, unknown> = {
  ...Object.fromEntries([...rowFields.split(' '), 'pace'].map((field) => [field, 1])),
  sources: { $arrayToObject: { $map: { input: { $objectToArray: '$sources' }, in: sourceHead } } }
}

export function createRunStore(store: Store): RunStore {
  const model = store.model<Run>('runs', runSchema)
  const collection = model.collection as unknown as mongo.Collection<Run>

  async function row(filter: Record<string, unknown>): Promise<RunRow | undefined> {
    return (await model.findOne(filter).sort({ createdAt: -1 }).select(rowFields).lean<RunRow>()) ?? undefined
  }

  async function sumOf(which: mongo.Filter<Run>, rowsOf: object | string): Promise<number> {
    const group = { $group: { _id: null, rows: { $sum: rowsOf } } }
    const [sum] = await collection.aggregate<{ rows: number }>([{ $match: which }, group]).toArray()
    return sum?.rows ?? 0
  }

  async function sizesOf(which: mongo.Filter<Run>, rows: object | string, { offset, limit }: Page): Promise<RunSize[]> {
    const found = collection
      .find(which, { projection: { rows, open: 1 } })
      .sort({ createdAt: -1 })
      .skip(offset)
      .limit(limit)
    return (await found.toArray()) as unknown as RunSize[]
  }

  return {
    model,
    collection,
    insert: async (run) => void (await model.create(run)),
    find: async (tenantId, runId) => (await model.findOne({ _id: runId, tenantId }).lean<Run>()) ?? undefined,
    async findTasks(tenantId, runId) {
      const found = model.findOne({ _id: runId, tenantId }).select('tasks targets open')
      return (await found.lean<RunTasks>()) ?? undefined
    },
    findMany: async (tenantId, runIds) =>
      model.find({ _id: { $in: runIds }, tenantId }, headFields as ProjectionType<Run>).lean<RunHead[]>(),
    findByTrigger: (tenantId, jobId, triggerKey) => row({ tenantId, jobId, triggerKey }),
    findLatest: (tenantId, jobId) => row({ tenantId, jobId }),

    list(filter, page) {
      const { tenantId, jobId, since, until, is } = filter
      const created = {
        ...(since === undefined ? {} : { $gte: since }),
        ...(until === undefined ? {} : { $lte: until })
      }
      const query = model.find<RunRow>({
        tenantId,
        ...(jobId === undefined ? {} : { jobId }),
        ...(since === undefined && until === undefined ? {} : { createdAt: created }),
        ...stateFilter(is)
      })
      return pageOf(query.select(rowFields).sort('-createdAt'), page) as Promise<PageOf<RunRow>>
    },

    async openRuns() {
      const added = Object.fromEntries(openCounts.map((name) => [name, { $sum: `$counts.${name}` }]))
      const stages = [{ $match: { open: true } }, { $group: { _id: '$state', runs: { $sum: 1 }, ...added } }]
      const found = await collection.aggregate(stages, { hint: { open: 1, 'lease.owner': 1 } }).toArray()
      return found.map(({ _id, runs, ...counts }) => ({ state: _id, runs, counts }) as OpenRuns)
    },

    async prioritiesOf(runIds) {
      const found = collection.find({ _id: { $in: [...runIds] } }, { projection: { 'job.priority': 1 } })
      return new Map((await found.toArray()).map(({ _id, job }) => [_id, job.priority]))
    },

    openOf: (tenantId, jobId) => collection.distinct('_id', { tenantId, jobId, open: true }),

    async successAfter(tenantId, jobId, time) {
      const filter = { endedAt: { $gt: time }, tenantId, jobId, result: 'SUCCESS' as const }
      // Few have ended since: this is asked when the end of a run has just come.
      const found = await collection.findOne(filter, { projection: { endedAt: 1 }, hint: { endedAt: 1 } })
      return found?.endedAt
    },

    async endedBefore(time, limit) {
      const found = collection.find({ endedAt: { $lt: time } }, { projection: { _id: 1 } })
      return (await found.sort({ endedAt: 1 }).limit(limit).toArray()).map(({ _id }) => _id)
    },

    async removeEnded(runIds) {
      // An entry of the outbox is an event that has not gone out yet.
      await collection.deleteMany({ _id: { $in: runIds }, state: 'FINISHED', 'outbox.0': { $exists: false } })
    },

    tasksOf: (filter) => sumOf(runsWith(filter), tasksOfRun(filter)),
    taskSizes: (filter, page) => sizesOf(runsWith(filter), tasksOfRun(filter), page),
    rowsOf: (filter) => sumOf(whichRuns(filter), rowsOfRun(filter)),
    sizes: (filter, page) => sizesOf(whichRuns(filter), rowsOfRun(filter), page),

    async expireOpen(tenantId, jobId, now, reason) {
      const change = { deadlineAt: now, deadlineReason: reason }
      await model.updateMany({ tenantId, jobId, open: true }, { $set: change })
    }
  }
}

function runsWith({ tenantId, taskName, ofOne }: TasksFilter): mongo.Filter<Run> {
  return {
    tenantId,
    ...(taskName === undefined ? {} : { 'tasks.name': taskName }),
    ...(ofOne === undefined ? {} : { _id: { $in: ofOne } })
  }
}

/** One for each task of that name, or each task, on each machine. */
function tasksOfRun({ taskName, ofOne }: TasksFilter): object {
  const named = { $filter: { input: '$tasks', cond: { $eq: ['$$this.name', { $literal: taskName }] } } }
  const tasks = { $size: taskName === undefined ? '$tasks' : named }
  return ofOne ? tasks : { $multiply: ['$targets', tasks] }
}

function whichRuns({ tenantId, jobId, since }: RunsFilter): mongo.Filter<Run> {
  return {
    tenantId,
    ...(jobId === undefined ? {} : { jobId }),
    ...(since === undefined ? {} : { createdAt: { $gte: since } })
  }
}

function rowsOfRun({ ends }: RunsFilter): string | { $add: string[] } {
  return ends === undefined ? '$targets' : { $add: ends.map((end) => `$counts.${end}`) }
}

function stateFilter(is: RunFilter['is']): Record<string, unknown> {
  if (is === undefined) return {}
  if (is === 'SUCCESS' || is === 'FAILED') return { state: 'FINISHED', result: is }
  return is === 'OPEN' ? { state: { $in: ['PREPARING', 'RUNNING'] } } : { state: is }
}
