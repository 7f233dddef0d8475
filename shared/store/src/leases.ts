import type { mongo } from 'mongoose'

/** Part of a document that one replica at a time drives. `open` says that there is something to drive. */
export interface Leased {
  _id: string
  open?: true
  lease: { owner: string; until: Date; epoch: number }
}

export interface Leases {
  /** Renews what this replica drives and takes over what nobody drives. */
  renew(): Promise<void>
  /** Renews and no more: while a long round is at work. */
  keep(): Promise<void>
  /** Matches what this replica drives. */
  held(): Record<string, unknown>
  /** A filter that matches only while this replica drives the document. */
  fence(document: { _id: string; epoch: number }): Record<string, unknown>
  /** Leaves everything to others at once. */
  release(): Promise<void>
}

/** Time is the database server's own ($$NOW): the clocks of the replicas do not matter. */
export function createLeases<T extends Leased>(documents: mongo.Collection<T>, owner: string, leaseMs: number): Leases {
  // The driver's types want T's own filters, which nothing is known of here but its lease.
  const collection = documents as unknown as mongo.Collection<Leased>
  const until = { $add: ['$$NOW', leaseMs] }
  const isFree = { open: true as const, $expr: { $lt: ['$lease.until', '$$NOW'] } }
  const held = () => ({ open: true as const, 'lease.owner': owner })

  async function keep(): Promise<void> {
    await collection.updateMany(held(), [{ $set: { 'lease.until': until } }])
  }

  return {
    keep,
    held,
    async renew() {
      await keep()
      const lease = { owner: { $literal: owner }, until, epoch: { $add: ['$lease.epoch', 1] } }
      await collection.updateMany(isFree, [{ $set: { lease } }])
    },
    fence: ({ _id, epoch }) => ({ _id, ...held(), 'lease.epoch': epoch }),
    async release() {
      await collection.updateMany(held(), { $set: { 'lease.until': new Date(0) } })
    }
  }
}
