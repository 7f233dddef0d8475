import type { Leased } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { Operation } from '../operations/operation.js'
import type { Cluster } from './cluster.js'

/** As it stands in the database. */
export interface ClusterDoc extends Omit<Cluster, 'id'>, Leased {
  /** False for what is TERMINATED: its name and addresses are free. */
  live: boolean
  /** Of the hosts that are not gone. */
  addresses: string[]
  /** Ended operations but the last, newest at the end. */
  past: Operation[]
  /** When the hosts were last asked how they are. */
  lookedAt: Date
}

const mixed = { type: Schema.Types.Mixed, required: true }
export const clusterSchema = new Schema<ClusterDoc>(
  {
    _id: String,
    tenantId: { type: String, required: true },
    userId: { type: String, required: true },
    owner: { type: String, required: true },
    name: { type: String, required: true },
    profile: { type: String, required: true },
    category: { type: String, required: true },
    status: { type: String, required: true },
    cloud: Schema.Types.Mixed as never,
    hosts: { type: [Schema.Types.Mixed], required: true } as never,
    pubkeys: { type: [String], required: true },
    registries: { type: [String], required: true },
    sealedSecrets: { type: String, required: true },
    options: Schema.Types.Mixed as never,
    operation: mixed as never,
    past: { type: [Schema.Types.Mixed], required: true } as never,
    live: { type: Boolean, required: true },
    addresses: { type: [String], required: true },
    open: Boolean,
    lease: mixed as never,
    lookedAt: { type: Date, required: true },
    createdAt: { type: Number, required: true },
    updatedAt: { type: Number, required: true }
  },
  { minimize: false, strictQuery: false }
)
clusterSchema.index({ tenantId: 1, userId: 1, name: 1 }, { unique: true, partialFilterExpression: { live: true } })
/** One entry for each address: no two clusters that live have one in common, whoever writes at the same time. */
clusterSchema.index({ tenantId: 1, addresses: 1 }, { unique: true, partialFilterExpression: { live: true } })
clusterSchema.index({ tenantId: 1, createdAt: 1, _id: 1 })
clusterSchema.index({ tenantId: 1, 'operation.id': 1 })
clusterSchema.index({ tenantId: 1, 'past.id': 1 })
clusterSchema.index({ tenantId: 1, pubkeys: 1 })
clusterSchema.index({ tenantId: 1, registries: 1 })
/** Few documents: those at work. */
clusterSchema.index({ open: 1, 'lease.owner': 1, 'lease.until': 1 }, { partialFilterExpression: { open: true } })
clusterSchema.index({ live: 1, lookedAt: 1 }, { partialFilterExpression: { live: true } })

export function toCluster(doc: ClusterDoc | null): Cluster | undefined {
  if (!doc) return undefined
  const { _id, tenantId, userId, owner, name, profile, category, status, hosts, pubkeys, registries } = doc
  const { sealedSecrets, options, operation, cloud, createdAt, updatedAt } = doc
  return {
    id: _id,
    tenantId,
    userId,
    owner,
    name,
    profile,
    category,
    status,
    ...(cloud ? { cloud } : {}),
    hosts,
    pubkeys,
    registries,
    sealedSecrets,
    // Those made before there were any have none.
    options: options ?? {},
    operation,
    createdAt,
    updatedAt
  }
}
