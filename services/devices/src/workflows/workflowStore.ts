import { type Bus, type Log, resourceCreated, resourceDeleted } from '@fleetgate/kit'
import {
  createOutbox,
  type Page,
  type PageOf,
  pageOf,
  type QueryFilter,
  type Store,
  toConflict
} from '@fleetgate/store'
import { defined } from '../entities/entityDoc.js'
import { type Enabling, enabledFields, unsetFields } from './enabling.js'
import {
  toWaiting,
  toWorkflow,
  type VersionDoc,
  versionSchema,
  type Waiting,
  type Workflow,
  type WorkflowDoc,
  workflowSchema
} from './workflowDoc.js'
import { filterOf, type WorkflowWish } from './workflowFilter.js'

export interface WorkflowStoreOptions {
  store: Store
  bus: Bus
  log: Log
  now: () => number
}

export type WorkflowStore = ReturnType<typeof createWorkflowStore>

export function createWorkflowStore({ store, bus, log, now }: WorkflowStoreOptions) {
  const model = store.model<WorkflowDoc>('workflows', workflowSchema)
  const versions = store.model<VersionDoc>('workflowVersions', versionSchema)
  const outbox = createOutbox({ model, bus, log })
  const bare = '-design'

  async function waiting(filter: QueryFilter<WorkflowDoc>): Promise<Waiting[]> {
    const docs = await model
      .find({ ...filter, enabled: true })
      .select(bare)
      .limit(maxWaiting)
      .lean()
    return docs.map((doc) => toWaiting(doc as WorkflowDoc))
  }

  return {
    outbox,
    async insert({ id, ...rest }: Workflow, enabling: Enabling | undefined): Promise<void> {
      const { tenantId, userId } = rest
      const entry = outbox.entry(resourceCreated, { tenantId, userId, resource: { id, type: 'WORKFLOW' }, at: now() })
      const more = { ...enabledFields(enabling), unsettledAt: now(), outbox: [entry] }
      await model.create({ _id: id, ...rest, ...more }).catch(requestTaken)
      void outbox.flush([id])
    },
    async find(tenantId: string, id: string): Promise<Workflow | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toWorkflow(doc as WorkflowDoc) : undefined
    },
    async findWaiting(tenantId: string, id: string): Promise<Waiting | undefined> {
      return (await waiting({ _id: id, tenantId }))[0]
    },
    /** The text of one version. */
    async designOf(tenantId: string, id: string, version: number): Promise<string | undefined> {
      const now = await model.findOne({ _id: id, tenantId, version }).select('design').lean()
      const then = now ?? (await versions.findOne({ _id: `${id}:${version}`, tenantId }).lean())
      return then?.design
    },
    count: (tenantId: string): Promise<number> => model.countDocuments({ tenantId }),
    /** Newest first. */
    async search(wish: WorkflowWish, page: Page): Promise<PageOf<Workflow>> {
      const { items, total } = await pageOf(
        model.find(filterOf(wish)).select(bare).sort({ createdAt: -1, _id: -1 }),
        page
      )
      return { items: items.map((doc) => toWorkflow({ ...(doc as WorkflowDoc), design: '' })), total }
    },
    async rename(
      tenantId: string,
      id: string,
      change: { name: string; remark?: string | undefined }
    ): Promise<boolean> {
      const update = { $set: { ...defined(change), updatedAt: now(), unsettledAt: now() } }
      return (await model.updateOne({ _id: id, tenantId }, update)).matchedCount === 1
    },
    /** False where the version is another by now. The old design is kept first: a crash between leaves a copy and no more. */
    async save(
      was: Workflow,
      change: Pick<Workflow, 'name' | 'remark' | 'enabled' | 'version' | 'design'>,
      enabling: Enabling | undefined
    ): Promise<boolean> {
      const { id, tenantId, version, design } = was
      if (change.version !== version) {
        const old = { tenantId, workflowId: id, version, design }
        await versions.updateOne({ _id: `${id}:${version}` }, { $setOnInsert: old }, { upsert: true })
      }
      const result = await model
        .updateOne(
          { _id: id, tenantId, version },
          {
            $set: { ...change, updatedAt: now(), unsettledAt: now(), ...enabledFields(enabling) },
            $unset: unsetFields(enabling)
          }
        )
        .catch(requestTaken)
      return result.matchedCount === 1
    },
    async setEnabled({ id, tenantId, version }: Workflow, enabling: Enabling | undefined): Promise<boolean> {
      const result = await model
        .updateOne(
          { _id: id, tenantId, version },
          { $set: { enabled: enabling !== undefined, ...enabledFields(enabling) }, $unset: unsetFields(enabling) }
        )
        .catch(requestTaken)
      return result.matchedCount === 1
    },
    async remove(tenantId: string, id: string): Promise<boolean> {
      const entry = outbox.entry(resourceDeleted, { tenantId, resource: { id, type: 'WORKFLOW' }, at: now() })
      const result = await model.updateOne(
        { _id: id, tenantId },
        {
          $set: {
            tenantId: '',
            formerTenantId: tenantId,
            name: id,
            remark: '',
            userId: '',
            design: '',
            enabled: false
          },
          $unset: { ...unsetFields(undefined), unsettledAt: '' },
          $push: { outbox: entry }
        }
      )
      if (result.matchedCount === 1) void outbox.flush([id])
      return result.matchedCount === 1
    },
    /** False where it is another by now, or gone. */
    async settled({ id, tenantId, version, name }: Workflow): Promise<boolean> {
      const same = { _id: id, tenantId, version, name }
      return (await model.updateOne(same, { $unset: { unsettledAt: '' } })).matchedCount === 1
    },
    async listUnsettled(before: number): Promise<Pick<Workflow, 'id' | 'tenantId'>[]> {
      const docs = await model
        .find({ unsettledAt: { $lt: before } })
        .select('tenantId')
        .limit(100)
        .lean()
      return docs.map(({ _id, tenantId }) => ({ id: _id, tenantId }))
    },
    listening: (tenantId: string, keys: string[]) => waiting({ tenantId, keys: { $in: keys } }),
    subscribed: (tenantId: string) => waiting({ tenantId, topic: { $exists: true } }),
    /** Those of this path, and behind them those of templates, among the credentials. */
    async served(tenantId: string, path: string, credentialIds: string[]): Promise<Waiting[]> {
      const credentialId = { $in: credentialIds }
      const exact = await waiting({ tenantId, httpPath: path, credentialId })
      return [...exact, ...(await waiting({ tenantId, httpPath: /[{]/, credentialId }))]
    },
    due: (at: number) => waiting({ nextAt: { $lte: at } }),
    /** Nothing where another replica moved it on before. */
    async moveOn({ id, nextAt }: Waiting, next: number | undefined): Promise<void> {
      const update = next === undefined ? { $unset: { nextAt: '' } } : { $set: { nextAt: next } }
      await model.updateOne({ _id: id, nextAt: nextAt ?? null }, update)
    },
    /** Counts runs of this minute; answers how many there were before. */
    async countRuns(id: string, wanted: number): Promise<number> {
      const minute = Math.floor(now() / 60_000)
      const count = { $cond: [{ $eq: ['$rate.minute', minute] }, { $add: ['$rate.count', wanted] }, wanted] }
      const doc = await model
        .findOneAndUpdate({ _id: id }, [{ $set: { rate: { minute, count } } }], { updatePipeline: true })
        .select('rate')
        .lean()
      return doc?.rate?.minute === minute ? doc.rate.count : 0
    },
    /** Removes what is left of deleted ones, once that is published. */
    async purge(removeRest: (gone: { id: string; tenantId: string }) => Promise<void>): Promise<void> {
      const gone = await model
        .find({ tenantId: '', outbox: { $size: 0 } })
        .select('formerTenantId')
        .limit(100)
        .lean()
      for (const { _id, formerTenantId = '' } of gone) {
        await removeRest({ id: _id, tenantId: formerTenantId })
        await versions.deleteMany({ workflowId: _id })
        await model.deleteOne({ _id })
      }
    }
  }
}

const maxWaiting = 1000

function requestTaken(error: unknown): never {
  return toConflict(error, 'another enabled workflow waits for this method, path and credential', { field: 'url' })
}
