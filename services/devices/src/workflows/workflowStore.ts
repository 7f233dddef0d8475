import { type Bus, type Log, resourceCreated, resourceDeleted } from '@fleetgate/kit'
import {
  containsPattern,
  createOutbox,
  type Page,
  type PageOf,
  pageOf,
  type QueryFilter,
  type Store,
  toConflict
} from '@fleetgate/store'
import { defined } from '../entities/entityDoc.js'
import type { Wait } from './nodes/entries.js'
import {
  allWaitFields,
  toWaiting,
  toWorkflow,
  type VersionDoc,
  versionSchema,
  type Waiting,
  type Workflow,
  type WorkflowDoc,
  waitFields,
  workflowSchema
} from './workflowDoc.js'

export interface WorkflowWish {
  tenantId: string
  /** All where it is not given. */
  ids?: string[] | undefined
  exceptIds?: string[] | undefined
  parentIds?: string[] | undefined
  keyword?: string | undefined
  enabled?: boolean | undefined
}

/** What enabling writes; nothing disables. */
export interface Enabling {
  wait: Wait
  nextAt?: number | undefined
  at: number
}

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
      await model.create({ _id: id, ...rest, ...enabledFields(enabling), outbox: [entry] }).catch(requestTaken)
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
      const update = { $set: { ...defined(change), updatedAt: now() } }
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
          { $set: { ...change, updatedAt: now(), ...enabledFields(enabling) }, $unset: unsetFields(enabling) }
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
          $unset: unsetFields(undefined),
          $push: { outbox: entry }
        }
      )
      if (result.matchedCount === 1) void outbox.flush([id])
      return result.matchedCount === 1
    },
    listening: (tenantId: string, keys: string[]) => waiting({ tenantId, keys: { $in: keys } }),
    subscribed: (tenantId: string) => waiting({ tenantId, topic: { $exists: true } }),
    served: (tenantId: string, path: string, credentialId: string) =>
      waiting({ tenantId, httpPath: path, credentialId }),
    due: (at: number) => waiting({ nextAt: { $lte: at } }),
    /** False where another replica moved it on before. */
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
    async purge(removeRuns: (id: string) => Promise<void>): Promise<void> {
      const gone = await model
        .find({ tenantId: '', outbox: { $size: 0 } })
        .select('_id')
        .limit(100)
        .lean()
      for (const { _id } of gone) {
        await removeRuns(_id)
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

function filterOf({
  tenantId,
  ids,
  parentIds,
  exceptIds = [],
  keyword,
  enabled
}: WorkflowWish): QueryFilter<WorkflowDoc> {
  // Nothing stands above a workflow: with parents alone there is none.
  const among = ids || parentIds ? { $in: ids ?? [] } : {}
  return {
    tenantId,
    _id: { ...among, $nin: exceptIds },
    ...(keyword ? { name: containsPattern(keyword) } : {}),
    ...(enabled === undefined ? {} : { enabled })
  }
}

function enabledFields(enabling: Enabling | undefined): Partial<WorkflowDoc> {
  if (!enabling) return {}
  return {
    ...waitFields(enabling.wait),
    ...defined({ nextAt: enabling.nextAt }),
    enabledAt: enabling.at
  } as Partial<WorkflowDoc>
}

function unsetFields(enabling: Enabling | undefined): Record<string, ''> {
  const kept = enabledFields(enabling)
  return Object.fromEntries(allWaitFields.filter((name) => !(name in kept)).map((name) => [name, '']))
}
