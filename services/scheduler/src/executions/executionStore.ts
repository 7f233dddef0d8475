import type { Page, PageOf, Store } from '@fleetgate/store'
import { pageOf } from '@fleetgate/store'
import { type Model, type mongo, type ProjectionType, type Query, Schema } from 'mongoose'
import type { CountedStates, Execution, ExecutionState, Hold } from './execution.js'
import type { ExecutionHead } from './reports.js'

const executionSchema = new Schema<Execution>(
  {
    _id: { type: String, required: true },
    tenantId: { type: String, required: true },
    runId: { type: String, required: true },
    jobId: { type: Number, required: true },
    clientId: { type: Number, required: true },
    groupId: Number,
    mqttClientId: { type: String, required: true },
    formerly: { type: [String], default: undefined },
    username: String,
    ip: String,
    state: { type: String, required: true },
    open: Boolean,
    hold: { type: String, required: true },
    attempt: { type: Number, required: true },
    begun: Number,
    epoch: { type: Number, required: true },
    tries: { type: Number, required: true },
    maxAttempts: { type: Number, required: true },
    retryWaitMs: { type: Number, required: true },
    dueAt: Number,
    claim: String,
    createdAt: { type: Number, required: true },
    startedAt: Number,
    endedAt: Number,
    lastReportAt: Number,
    message: String,
    log: Schema.Types.Mixed,
    ends: Schema.Types.Mixed,
    lateReports: Schema.Types.Mixed,
    halt: Schema.Types.Mixed
  },
  { minimize: false }
)
const isOpen = { partialFilterExpression: { open: true } }
executionSchema.index({ runId: 1, state: 1, clientId: 1 })
// A run on all its machines, in order of their numbers: without it a page would sort the whole run.
executionSchema.index({ runId: 1, clientId: 1 })
executionSchema.index({ tenantId: 1, jobId: 1, createdAt: -1, clientId: 1 })
executionSchema.index({ tenantId: 1, clientId: 1, createdAt: -1 })
executionSchema.index({ tenantId: 1, createdAt: -1, clientId: 1 })
// Moved once, at the end, not with every change of state.
const isOver = { partialFilterExpression: { endedAt: { $exists: true } } }
executionSchema.index({ tenantId: 1, state: 1, createdAt: -1, clientId: 1 }, isOver)
executionSchema.index({ tenantId: 1, jobId: 1, state: 1, createdAt: -1, clientId: 1 }, isOver)
executionSchema.index({ tenantId: 1, mqttClientId: 1, createdAt: -1 })
executionSchema.index({ tenantId: 1, mqttClientId: 1 }, isOpen)
executionSchema.index({ runId: 1, hold: 1, state: 1, dueAt: 1 }, isOpen)
const isToStop = { partialFilterExpression: { 'halt.attempt': { $exists: true } } }
executionSchema.index({ 'halt.dueAt': 1 }, isToStop)
executionSchema.index({ tenantId: 1, mqttClientId: 1, 'halt.attempt': 1 }, isToStop)

export type ExecutionCollection = mongo.Collection<Execution>

export interface ExecutionFilter {
  tenantId: string
  runId?: string | undefined
  /** Those of these runs alone: where few of a job's runs can have what is asked for. */
  runIds?: readonly string[] | undefined
  jobId?: number | undefined
  clientId?: number | undefined
  states?: readonly ExecutionState[] | undefined
  since?: number | undefined
}

/** A row of a list: everything but the log. */
export type ExecutionRow = Omit<Execution, 'log' | 'ends' | 'lateReports' | 'halt'>

/** With that part of its log from which the state and times of its tasks are read. */
export type ExecutionTasks = Pick<
  Execution,
  '_id' | 'mqttClientId' | 'clientId' | 'createdAt' | 'attempt' | 'open' | 'log'
>

/** A page of one run's executions; where it is known how many these are, what is nearer to their end is sought from there. */
export interface PartPage extends Page {
  of?: number | undefined
}

export interface ExecutionStore {
  /** The driver's own collection, for the engine's bulk work. */
  readonly collection: ExecutionCollection
  /** Inserts what is not there yet. */
  insertMissing(executions: Execution[]): Promise<void>
  find(tenantId: string, executionId: string): Promise<Execution | undefined>
  findLatest(tenantId: string, jobId: number, clientId: number): Promise<Execution | undefined>
  list(filter: ExecutionFilter, page: Page): Promise<PageOf<ExecutionRow>>
  /** The same without the count. */
  rows(filter: ExecutionFilter, page: Page): Promise<ExecutionRow[]>
  /** Those of these runs: all in any order, or a page of them in the order of the client's number where it is one run. */
  rowsOfRuns(runIds: readonly string[], states: ExecutionFilter['states'], page?: PartPage): Promise<ExecutionRow[]>
  /** How the latest execution that is over ended, by client; clients without one are absent. */
  latestEnds(tenantId: string, clientIds: readonly number[]): Promise<Map<number, ExecutionState>>
  /** The runs of a machine, the newest first, as far as `limit` reaches. */
  runIdsOf(tenantId: string, mqttClientId: string, limit: number): Promise<string[]>
  /** Executions of one run in order of the client's number; of their logs what tells how tasks went. */
  withTasks(runId: string, page: PartPage & { mqttClientId?: string | undefined }): Promise<ExecutionTasks[]>
  /** Open executions of a client go to the machine of this name; reports of the one that has begun them count on. */
  rename(tenantId: string, clientId: number, mqttClientId: string): Promise<number>
  heads(ids: string[]): Promise<Map<string, ExecutionHead>>
  /**
   * How many of a run are at work and have ended. (Measured: counted along the index by state, those of 10,000 machines cost the
   * database 3.5 ms, grouped by state 16 ms, and this is asked some times a second.)
   */
  count(runId: string): Promise<CountedStates>
  /** How many a run has. */
  size(runId: string): Promise<number>
  /** Deletes at most so many executions of these runs; answers how many. */
  removeSome(runIds: string[], limit: number): Promise<number>
  /** Those of these runs whose open executions all wait for their machine. */
  allAside(runIds: string[]): Promise<Set<string>>
  /** Machines that work on these runs, or were told to; one that is offline holds up nobody. */
  countAtWork(runIds: string[]): Promise<number>
}

const duplicateKey = 11000
const notInRows = '-log -ends -lateReports -halt'
const seqsOfAttempt = {
  k: '$$attempt.k',
  v: { $map: { input: { $objectToArray: '$$attempt.v' }, in: '$$this.k' } }
}
const headFields = {
  runId: 1,
  tenantId: 1,
  mqttClientId: 1,
  formerly: 1,
  attempt: 1,
  maxAttempts: 1,
  retryWaitMs: 1,
  dueAt: 1,
  state: 1,
  open: 1,
  halt: 1,
  size: { $bsonSize: '$$ROOT' },
  // Of its log the numbers alone: the whole logs of a batch took seconds to read, and could fill the memory.
  seqs: { $arrayToObject: { $map: { input: { $objectToArray: '$log' }, as: 'attempt', in: seqsOfAttempt } } }
}

const entries = { $objectToArray: '$$attempt.v' }
// The first one stays whatever it tells: an attempt with a log is one that was begun.
const tasksOfAttempt = {
  k: '$$attempt.k',
  v: {
    $arrayToObject: {
      $concatArrays: [
        { $slice: [entries, 1] },
        { $filter: { input: entries, cond: { $eq: [{ $type: '$$this.v.scriptId' }, 'missing'] } } }
      ]
    }
  }
}
const tasksFields = {
  ...Object.fromEntries(['mqttClientId', 'clientId', 'createdAt', 'attempt', 'open'].map((field) => [field, 1])),
  // Steps with their output can be 12 MB a machine.
  log: {
    $arrayToObject: {
      $map: { input: { $objectToArray: { $ifNull: ['$log', {}] } }, as: 'attempt', in: tasksOfAttempt }
    }
  }
}

export function createExecutionStore(store: Store): ExecutionStore {
  const model: Model<Execution> = store.model<Execution>('executions', executionSchema)
  const collection = model.collection as unknown as ExecutionCollection

  function rowsWhere({ runId, runIds, clientId, states, ...filter }: ExecutionFilter) {
    const query = model.find<ExecutionRow>({
      ...wholeRun(filter),
      ...(runId === undefined ? {} : { runId }),
      ...(runIds === undefined ? {} : { runId: { $in: [...runIds] } }),
      ...(clientId === undefined ? {} : { clientId }),
      ...(states === undefined ? {} : stateFilter(states))
    })
    // The newest run first, and its machines in the order of their numbers.
    return query
      .select(notInRows)
      .sort('-createdAt clientId')
      .hint(indexFor({ clientId, runIds, states, ...filter }))
  }

  function rowsOfRun(runIds: readonly string[], states: ExecutionFilter['states']) {
    const [runId = ''] = runIds
    const hint = { runId: 1, ...(states === undefined ? {} : { state: 1 as const }), clientId: 1 } as const
    const query = model
      .find<ExecutionRow>({
        runId: runIds.length === 1 ? runId : { $in: [...runIds] },
        ...(states === undefined ? {} : { state: { $in: [...states] } })
      })
      .select(notInRows)
      .hint(hint)
    return query
  }

  /** Those of these runs that have an open execution held so: one query, which skips in its index from run to run. */
  async function withOpen(runIds: readonly string[], hold: Hold[]): Promise<string[]> {
    if (runIds.length === 0) return []
    const which = { $match: { runId: { $in: runIds }, open: true, hold: { $in: hold } } }
    const options = { hint: { runId: 1, hold: 1, state: 1, dueAt: 1 } }
    const found = collection.aggregate<{ _id: string }>([which, { $group: { _id: '$runId' } }], options)
    return (await found.toArray()).map(({ _id }) => _id)
  }

  return {
    collection,

    async insertMissing(executions) {
      if (executions.length === 0) return
      await collection.insertMany(executions, { ordered: false }).catch(passDuplicates)
    },

    async find(tenantId, executionId) {
      return (await model.findOne({ _id: executionId, tenantId }).lean<Execution>()) ?? undefined
    },

    async findLatest(tenantId, jobId, clientId) {
      const query = model.findOne({ tenantId, jobId, clientId }).sort({ createdAt: -1 })
      return (await query.lean<Execution>()) ?? undefined
    },

    async list(filter, page) {
      const { runId, clientId, states } = filter
      if (runId === undefined || clientId !== undefined)
        return pageOf(rowsWhere(filter), page) as Promise<PageOf<ExecutionRow>>
      // What is the same for a whole run is asked of one row, so that the index alone leads to a deep page of the others.
      const isMeant = (await model.exists({ ...wholeRun(filter), runId })) !== null
      // A client has one execution in a run.
      return isMeant
        ? (pageOf(rowsOfRun([runId], states).sort('clientId'), page, { by: 'clientId' }) as Promise<
            PageOf<ExecutionRow>
          >)
        : { items: [], total: 0 }
    },

    rows: (filter, { offset, limit }) => rowsWhere(filter).skip(offset).limit(limit).lean<ExecutionRow[]>().exec(),

    rowsOfRuns(runIds, states, page) {
      const query = rowsOfRun(runIds, states)
      return page ? byClient(query, page) : query.lean<ExecutionRow[]>().exec()
    },

    async latestEnds(tenantId, clientIds) {
      // One question for all: for each client the index of its executions is read from its newest on.
      const newest = [
        { $match: { $expr: { $eq: ['$clientId', '$$clientId'] }, tenantId, endedAt: { $exists: true } } },
        { $sort: { createdAt: -1 as const } },
        { $limit: 1 },
        { $project: { _id: 0, state: 1 } }
      ]
      if (clientIds.length === 0) return new Map()
      const database = store.connection.getClient().db(store.connection.name)
      const ends = database.aggregate<{ clientId: number; newest: Pick<Execution, 'state'>[] }>([
        { $documents: clientIds.map((clientId) => ({ clientId })) },
        { $lookup: { from: collection.collectionName, let: { clientId: '$clientId' }, pipeline: newest, as: 'newest' } }
      ])
      const found = await ends.toArray()
      return new Map(found.flatMap(({ clientId, newest: [one] }) => (one ? [[clientId, one.state] as const] : [])))
    },

    async runIdsOf(tenantId, mqttClientId, limit) {
      const query = model.find({ tenantId, mqttClientId }, { _id: 0, runId: 1 }).sort({ createdAt: -1 }).limit(limit)
      return (await query.lean<Pick<Execution, 'runId'>[]>()).map(({ runId }) => runId)
    },

    withTasks(runId, { mqttClientId, ...page }) {
      const which = { runId, ...(mqttClientId === undefined ? {} : { mqttClientId }) }
      return byClient(model.find<ExecutionTasks>(which, tasksFields as ProjectionType<Execution>), page)
    },

    async rename(tenantId, clientId, mqttClientId) {
      const filter = { tenantId, clientId, open: true as const, mqttClientId: { $ne: mqttClientId } }
      const formerly = { $concatArrays: [{ $ifNull: ['$formerly', []] }, ['$mqttClientId']] }
      const update = [{ $set: { formerly, mqttClientId: { $literal: mqttClientId } } }]
      return (await collection.updateMany(filter, update)).modifiedCount
    },

    async heads(ids) {
      const found = await collection.find({ _id: { $in: ids } }, { projection: headFields }).toArray()
      return new Map(found.map((head) => [head._id, head as unknown as ExecutionHead]))
    },

    async removeSome(runIds, limit) {
      const found = collection.find({ runId: { $in: runIds } }, { projection: { _id: 1 } })
      const ids = (await found.limit(limit).toArray()).map(({ _id }) => _id)
      if (ids.length > 0) await collection.deleteMany({ _id: { $in: ids } })
      return ids.length
    },

    async allAside(runIds) {
      const notAway = new Set(await withOpen(runIds, ['NONE']))
      const others = runIds.filter((runId) => !notAway.has(runId))
      return new Set(await withOpen(others, ['OFFLINE', 'DISABLED']))
    },

    countAtWork: (runIds) =>
      collection.countDocuments({
        runId: { $in: runIds },
        open: true,
        hold: 'NONE',
        state: { $in: ['DISPATCHED', 'RUNNING'] }
      }),

    async count(runId) {
      const inState = (state: ExecutionState) =>
        collection.countDocuments({ runId, state }, { hint: { runId: 1, state: 1, clientId: 1 } })
      const counted = await Promise.all([inState('RUNNING'), inState('SUCCEEDED'), inState('FAILED')])
      const [running = 0, succeeded = 0, failed = 0] = counted
      return { running, succeeded, failed }
    },

    size: (runId) => collection.countDocuments({ runId }, { hint: { runId: 1, clientId: 1 } })
  }
}

/** The database passes over the rows before a page one by one, so of the two ends the nearer one is taken. */
async function byClient<T, D, H, R>(query: Query<T[], D, H, R>, { offset, limit, of }: PartPage): Promise<T[]> {
  const after = of === undefined ? Number.POSITIVE_INFINITY : Math.max(0, of - offset - limit)
  if (offset <= after) return query.sort({ clientId: 1 }).skip(offset).limit(limit).lean<T[]>().exec()
  const size = Math.min(limit, Number(of) - offset)
  if (size < 1) return []
  return (await query.sort({ clientId: -1 }).skip(after).limit(size).lean<T[]>().exec()).toReversed()
}

type IndexKeys = Record<string, 1 | -1>

/**
 * The index that has a list in its order. The planner would find it too, but tries all that begin with the tenant whenever a deep
 * page follows a first one, which takes it half a second.
 */
function indexFor({ jobId, clientId, runIds, states }: Omit<ExecutionFilter, 'runId'>): IndexKeys {
  // A machine has few executions beside a job.
  if (clientId !== undefined) return { tenantId: 1, clientId: 1, createdAt: -1 }
  if (runIds !== undefined) return { runId: 1, state: 1, clientId: 1 }
  const ofJob: IndexKeys = jobId === undefined ? {} : { jobId: 1 }
  const byState: IndexKeys = states !== undefined && areFinal(states) ? { state: 1 } : {}
  return { tenantId: 1, ...ofJob, ...byState, createdAt: -1, clientId: 1 }
}

/** Conditions that hold for all executions of a run or for none. */
function wholeRun({ tenantId, jobId, since }: Omit<ExecutionFilter, 'runId' | 'clientId' | 'states'>) {
  return {
    tenantId,
    ...(jobId === undefined ? {} : { jobId }),
    ...(since === undefined ? {} : { createdAt: { $gte: since } })
  }
}

function areFinal(states: readonly ExecutionState[]): boolean {
  return states.every((one) => one === 'SUCCEEDED' || one === 'FAILED')
}

/** With the field of which there is an index for these states. */
function stateFilter(states: readonly ExecutionState[]): Record<string, unknown> {
  const state = { $in: [...states] }
  return areFinal(states) ? { state, endedAt: { $exists: true } } : { state }
}

/** For insertMany: what was already there was the point of the deterministic id. */
export function passDuplicates(error: unknown): void {
  const failures = (error as { writeErrors?: { code?: number } | { code?: number }[] }).writeErrors
  const list = failures === undefined ? [] : Array.isArray(failures) ? failures : [failures]
  if (list.length === 0 || list.some(({ code }) => code !== duplicateKey)) throw error
}
