import { AppError, type Found, type Range } from '@fleetgate/kit'
import { createLeases, isDuplicateKey, type Leases, pageOf, type SealedText, type Store } from '@fleetgate/store'
import type { QueryFilter } from 'mongoose'
import { loginContext } from '../hosts/hostRunner.js'
import type { Operation } from '../operations/operation.js'
import { addressesOf, type Cluster, type ClusterStatus, type Host } from './cluster.js'
import { type ClusterDoc, clusterSchema, toCluster } from './clusterSchema.js'
import { secretsContext } from './clusterSecrets.js'
import { keyContext } from './madeHosts.js'
import type { ClusterOptions } from './options.js'

const keptOperations = 20
/** By far the most of a document, and no list needs it. */
const unlisted = { past: 0, sealedSecrets: 0, 'hosts.sealedLogin': 0, 'cloud.sealedKey': 0 } as const

export interface ClusterFilter {
  name?: string | undefined
  userId?: string | undefined
  owner?: string | undefined
  statuses?: readonly ClusterStatus[] | undefined
  sort: { field: 'name' | 'createdAt' | 'updatedAt' | 'status'; direction: 1 | -1 }
}

/** What the start of an operation changes, besides beginning it. */
export interface Change {
  status: ClusterStatus
  hosts?: Host[]
  pubkeys?: string[]
  registries?: string[]
  options?: ClusterOptions
  sealedSecrets?: string
  live?: boolean
}

export interface Carried {
  id: string
  pubkeys: string[]
  registries: string[]
  providers: string[]
}

export type ClusterStore = ReturnType<typeof createClusterStore>

export function createClusterStore(store: Store) {
  const model = store.model<ClusterDoc>('clusters', clusterSchema)
  store.declareSealed(model, { paths: ['sealedSecrets', 'cloud.sealedKey', 'hosts.sealedLogin'], textsOf: sealedTexts })
  const noLease = () => ({ owner: '', until: new Date(0), epoch: 0 })

  return {
    leases: (owner: string, leaseMs: number): Leases =>
      createLeases<ClusterDoc>(model.collection as never, owner, leaseMs),

    /** Stores a cluster with its first operation. Throws `conflict` for a taken name or address. */
    async insert({ id, ...rest }: Cluster): Promise<void> {
      const doc = {
        _id: id,
        ...rest,
        past: [],
        live: true,
        addresses: addressesOf(rest),
        open: true as const,
        lease: noLease(),
        lookedAt: new Date(0)
      }
      await model.collection.insertOne(doc as never).catch(takenFor(rest.options))
    },

    async find(tenantId: string, id: string): Promise<Cluster | undefined> {
      return toCluster(await model.findOne({ _id: id, tenantId }).lean())
    },

    async list(
      tenantId: string,
      { name, userId, owner, statuses, sort }: ClusterFilter,
      range: Range
    ): Promise<Found<Cluster>> {
      const filter: QueryFilter<ClusterDoc> = { tenantId }
      if (name !== undefined) filter.name = name
      if (userId !== undefined) filter.userId = userId
      if (owner !== undefined) filter.owner = owner
      if (statuses !== undefined) filter.status = { $in: [...statuses] }
      const order = { [sort.field]: sort.direction, _id: sort.direction }
      const found = await pageOf(model.find(filter).sort(order).select(unlisted), range)
      return { items: found.items.flatMap((doc) => toCluster(doc as ClusterDoc) ?? []), total: found.total }
    },

    /** Of these clusters those that live, with what they carry; what an operation is taking off the hosts still counts. */
    async findCarried(tenantId: string, ids: readonly string[]): Promise<Carried[]> {
      const docs = await model
        .find({ _id: { $in: [...ids] }, tenantId, live: true })
        .select({ pubkeys: 1, registries: 1, 'cloud.providerId': 1, open: 1, 'operation.released': 1 })
        .lean()
      return docs.map(({ _id, pubkeys, registries, cloud, open, operation }) => {
        const going = open ? operation.released : []
        return {
          id: _id,
          pubkeys: [...pubkeys, ...going],
          registries: [...registries, ...going],
          providers: cloud ? [cloud.providerId] : []
        }
      })
    },

    async isNameTaken(tenantId: string, userId: string, name: string): Promise<boolean> {
      return (await model.exists({ tenantId, userId, name, live: true })) !== null
    },

    /**
     * Begins an operation on a cluster as it was read: false where it has changed since. One write; throws `conflict`
     * for an address that another cluster has.
     */
    async begin(cluster: Cluster, operation: Operation, { live = true, ...change }: Change): Promise<boolean> {
      const isRetry = operation.id === cluster.operation.id
      const update = {
        $set: {
          ...change,
          addresses: addressesOf({ ...cluster, ...change }),
          live,
          operation,
          updatedAt: operation.updatedAt,
          'lease.until': new Date(0),
          ...(live ? { open: true } : {})
        },
        ...(isRetry ? {} : { $push: { past: { $each: [cluster.operation], $slice: -keptOperations } } })
      }
      const filter = {
        _id: cluster.id,
        tenantId: cluster.tenantId,
        status: cluster.status,
        open: { $exists: false },
        'operation.id': cluster.operation.id,
        'operation.attempt': cluster.operation.attempt
      }
      const result = await model.collection.updateOne(filter as never, update as never).catch(takenFor(change.options))
      return result.modifiedCount === 1
    },

    /** The operation of this id and its cluster, whichever of the cluster's last ones it is. */
    async findOperation(tenantId: string, id: string): Promise<{ cluster: Cluster; operation: Operation } | undefined> {
      const doc = await model.findOne({ tenantId, $or: [{ 'operation.id': id }, { 'past.id': id }] } as never).lean()
      const cluster = toCluster(doc)
      if (!cluster || !doc) return undefined
      const operation = [cluster.operation, ...doc.past].find((one) => one.id === id)
      return operation ? { cluster, operation } : undefined
    },

    async requestCancel(tenantId: string, id: string): Promise<boolean> {
      const filter = { tenantId, open: true, 'operation.id': id }
      return (
        (await model.collection.updateOne(filter as never, { $set: { 'operation.cancelRequested': true } }))
          .matchedCount === 1
      )
    },

    /** What this replica drives, whole. */
    async held(filter: Record<string, unknown>): Promise<{ cluster: Cluster; epoch: number }[]> {
      const docs = (await model.collection.find(filter as never).toArray()) as unknown as ClusterDoc[]
      return docs.flatMap((doc) => {
        const cluster = toCluster(doc)
        return cluster ? [{ cluster, epoch: doc.lease.epoch }] : []
      })
    },

    /** Writes for the holder of the lease: false where it no longer is that. */
    async write(
      fence: Record<string, unknown>,
      set: Record<string, unknown>,
      unset: Record<string, ''> = {}
    ): Promise<boolean> {
      const update = Object.keys(unset).length > 0 ? { $set: set, $unset: unset } : { $set: set }
      return (await model.collection.updateOne(fence as never, update)).matchedCount === 1
    },

    /** Takes clusters whose hosts were not asked for so long, so that one replica asks. */
    async takeUnwatched(now: number, everyMs: number, limit: number): Promise<Cluster[]> {
      const taken: Cluster[] = []
      while (taken.length < limit) {
        const doc = await model
          .findOneAndUpdate(
            {
              live: true,
              status: 'RUNNING',
              open: { $exists: false },
              lookedAt: { $lt: new Date(now - everyMs) }
            } as never,
            { $set: { lookedAt: new Date(now) } }
          )
          .lean()
        const cluster = toCluster(doc as ClusterDoc | null)
        if (!cluster) break
        taken.push(cluster)
      }
      return taken
    },

    /** Writes what hosts said of themselves, unless an operation has begun since. */
    async writeLook(cluster: Cluster, set: Record<string, unknown>): Promise<void> {
      const filter = { _id: cluster.id, open: { $exists: false }, 'operation.id': cluster.operation.id }
      if (Object.keys(set).length > 0) await model.collection.updateOne(filter as never, { $set: set })
    }
  }
}

function sealedTexts({ _id, sealedSecrets, cloud, hosts }: ClusterDoc): SealedText[] {
  return [
    { path: 'sealedSecrets', sealed: sealedSecrets, context: secretsContext(_id) },
    ...(cloud ? [{ path: 'cloud.sealedKey', sealed: cloud.sealedKey, context: keyContext(_id) }] : []),
    ...hosts.map(({ id, sealedLogin }, index) => ({
      path: `hosts.${index}.sealedLogin`,
      sealed: sealedLogin,
      context: loginContext(id)
    }))
  ]
}

/** What a write is refused for that brings these options. */
function takenFor({ apiAddress }: ClusterOptions = {}) {
  return (error: unknown): never => {
    if (!isDuplicateKey(error)) throw error
    const { keyPattern = {}, keyValue = {} } = error as { keyPattern?: object; keyValue?: { addresses?: unknown } }
    if ('addresses' in keyPattern) {
      const address = String(keyValue.addresses)
      throw new AppError('conflict', `the address ${address} belongs to a cluster or one of its hosts already`, {
        field: address === apiAddress ? 'apiAddress' : 'ip',
        wireCode: 'E50019'
      })
    }
    throw new AppError('conflict', 'you have a cluster of this name already', { field: 'name', wireCode: 'E50003' })
  }
}
