import { newNumericId } from '@fleetgate/kit'
import { isDuplicateKey, type Page, type PageOf, pageOf, type QueryFilter, type Store } from '@fleetgate/store'
import { defined } from '../entities/entityDoc.js'
import { LostRun, type Trace } from './journal.js'
import { type NewRun, type Run, type RunDoc, type RunState, runSchema, toRun } from './runDoc.js'

export interface RunStoreOptions {
  store: Store
  now: () => number
  owner: string
  leaseMs: number
}

export type RunStore = ReturnType<typeof createRunStore>

/** Leases are told by the clock of the database. */
export function createRunStore({ store, now, owner, leaseMs }: RunStoreOptions) {
  const model = store.model<RunDoc>('workflowRuns', runSchema)
  const runs = model.collection as unknown as import('mongoose').mongo.Collection<RunDoc>
  const until = { $add: ['$$NOW', leaseMs] }

  async function fenced({ id, epoch }: Pick<Run, 'id' | 'epoch'>, update: object): Promise<void> {
    const filter = { _id: id, state: 'RUNNING' as const, 'lease.owner': owner, 'lease.epoch': epoch }
    const { matchedCount } = await runs.updateOne(filter, update)
    if (matchedCount === 0) throw new LostRun(`run ${id} was taken over`)
  }

  async function claim(id: string, slot: number | undefined): Promise<Run | 'taken' | undefined> {
    const lease = { owner: { $literal: owner }, until, epoch: 1 }
    const set = { state: 'RUNNING', startedAt: { $literal: now() }, lease, ...(slot === undefined ? {} : { slot }) }
    try {
      const doc = await runs.findOneAndUpdate({ _id: id, state: 'QUEUED' }, [{ $set: set }], {
        returnDocument: 'after'
      })
      return doc ? toRun(doc) : undefined
    } catch (error) {
      if (isDuplicateKey(error)) return 'taken'
      throw error
    }
  }

  return {
    /** Answers the ids of those that are new; a cause that is known already starts nothing. */
    async insert(found: NewRun[]): Promise<string[]> {
      const docs = found.map(
        (run): RunDoc => ({ ...run, _id: newNumericId(now()), state: 'QUEUED', traces: [], queuedAt: now() })
      )
      return insertAll(docs)
    },
    /** Those of the causes that have started a run of the workflow. */
    async known(workflowId: string, once: string[]): Promise<ReadonlySet<string>> {
      const docs = await model
        .find({ workflowId, once: { $in: once } })
        .select('once')
        .lean()
      return new Set(docs.flatMap((doc) => doc.once))
    },
    /** A run that never ran: why it was stopped before. */
    async refuse(run: NewRun, message: string): Promise<void> {
      const at = now()
      const ended = { state: 'ERROR' as const, traces: [], queuedAt: at, startedAt: at, finishedAt: at, message }
      await insertAll([{ ...run, ...ended, _id: newNumericId(at) }])
    },
    async find(tenantId: string, id: string): Promise<Run | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toRun(doc as RunDoc) : undefined
    },
    async search(
      { tenantId, workflowId, states }: { tenantId: string; workflowId: string; states: RunState[] },
      page: Page
    ): Promise<PageOf<Run>> {
      const filter: QueryFilter<RunDoc> = { tenantId, workflowId, state: { $in: states } }
      const { items, total } = await pageOf(
        model.find(filter).select('-traces -input').sort({ queuedAt: -1, _id: -1 }),
        page
      )
      return { items: items.map((doc) => toRun({ ...(doc as RunDoc), traces: [], input: '{}' })), total }
    },
    countQueued: (tenantId: string): Promise<number> => model.countDocuments({ state: 'QUEUED', tenantId }),
    waitingTenants: (): Promise<string[]> => runs.distinct('tenantId', { state: 'QUEUED' }),
    /** The oldest that waits, where the tenant has a place left. */
    async claimNext(tenantId: string, places: number): Promise<Run | undefined> {
      const oldest = await runs.findOne(
        { state: 'QUEUED', tenantId },
        { sort: { queuedAt: 1 }, projection: { _id: 1 } }
      )
      if (!oldest) return undefined
      const used = new Set(await runs.distinct('slot', { tenantId, slot: { $exists: true } }))
      for (let slot = 0; slot < places; slot++) {
        if (used.has(slot)) continue
        const run = await claim(oldest._id, slot)
        if (run !== 'taken') return run
      }
    },
    /** One run at once and beside the places: what another run waits for must not wait for that run's place. */
    async claimNow(id: string): Promise<Run | undefined> {
      const run = await claim(id, undefined)
      return run === 'taken' ? undefined : run
    },
    /** A run whose process went away; it keeps its place. */
    async takeOver(): Promise<Run | undefined> {
      const free = { state: 'RUNNING' as const, $expr: { $lt: ['$lease.until', '$$NOW'] } }
      const lease = { owner: { $literal: owner }, until, epoch: { $add: ['$lease.epoch', 1] } }
      const doc = await runs.findOneAndUpdate(free, [{ $set: { lease } }], { returnDocument: 'after' })
      return doc ? toRun(doc) : undefined
    },
    /** Another process may go on at once. */
    giveBack: (run: Run): Promise<void> => fenced(run, [{ $set: { 'lease.until': '$$NOW' } }]),
    /** Of those that are at work in this process: what it has given up goes to whoever looks next. */
    async renew(ids: string[]): Promise<void> {
      const ours = { _id: { $in: ids }, state: 'RUNNING' as const, 'lease.owner': owner }
      await runs.updateMany(ours, [{ $set: { 'lease.until': until } }])
    },
    begin: (run: Run, nodeId: string): Promise<void> => fenced(run, { $set: { begun: nodeId } }),
    /** What is not there must not come back as null: who takes the run over would see a branch where there was none. */
    addTrace: (run: Run, trace: Trace): Promise<void> => fenced(run, { $push: { traces: defined(trace) } }),
    finish: (run: Run, state: 'SUCCESS' | 'ERROR', message: string | undefined): Promise<void> =>
      fenced(run, {
        $set: { state, finishedAt: now(), ...(message === undefined ? {} : { message }) },
        $unset: { slot: '', lease: '' }
      }),
    async removeOlder(than: number): Promise<void> {
      await model.deleteMany({ finishedAt: { $lt: than } })
    },
    async removeOf(workflowId: string): Promise<void> {
      await model.deleteMany({ workflowId })
    }
  }

  async function insertAll(docs: RunDoc[]): Promise<string[]> {
    if (docs.length === 0) return []
    const result = await model
      .insertMany(docs, { ordered: false, rawResult: true, throwOnValidationError: true })
      .catch((error) => {
        if (!isDuplicateKey(error)) throw error
      })
    if (result && result.insertedCount === docs.length) return docs.map(({ _id }) => _id)
    const there = await model
      .find({ _id: { $in: docs.map(({ _id }) => _id) } })
      .select('_id')
      .lean()
    return there.map(({ _id }) => _id)
  }
}
