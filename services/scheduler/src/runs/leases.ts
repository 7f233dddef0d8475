import type { mongo } from 'mongoose'
import type { Run, RunLimits } from './run.js'

/** A run as its driver knows it. */
export interface HeldRun {
  _id: string
  tenantId: string
  jobId: number
  state: Run['state']
  priority: number
  deadlineAt: number
  stopAt: number
  limits: RunLimits
  epoch: number
  recount: boolean
}

export interface Leases {
  /** Renews what this replica drives, takes over what nobody drives, and answers all of it, by priority. */
  renew(): Promise<HeldRun[]>
  /** Renews and no more: while a long round is at work. */
  keep(): Promise<void>
  /** A filter that matches only while this replica drives the run. */
  fence(run: Pick<HeldRun, '_id' | 'epoch'>): Record<string, unknown>
  /** Leaves everything to others at once. */
  release(): Promise<void>
}

/** Time is the database server's own ($$NOW): the clocks of the replicas do not matter. */
export function createLeases(runs: mongo.Collection<Run>, owner: string, leaseMs: number): Leases {
  const until = { $add: ['$$NOW', leaseMs] }
  const isFree = { open: true as const, $expr: { $lt: ['$lease.until', '$$NOW'] } }
  const projection = {
    tenantId: 1,
    jobId: 1,
    state: 1,
    job: 1,
    deadlineAt: 1,
    stop: 1,
    lease: 1,
    recount: 1
  }

  async function keep(): Promise<void> {
    await runs.updateMany({ open: true, 'lease.owner': owner }, [{ $set: { 'lease.until': until } }])
  }

  return {
    keep,

    async renew() {
      await keep()
      const lease = { owner: { $literal: owner }, until, epoch: { $add: ['$lease.epoch', 1] } }
      await runs.updateMany(isFree, [{ $set: { lease } }])
      const held = await runs.find({ open: true, 'lease.owner': owner }, { projection }).toArray()
      return held.map(toHeldRun).sort((a, b) => b.priority - a.priority)
    },

    fence: ({ _id, epoch }) => ({ _id, open: true, 'lease.owner': owner, 'lease.epoch': epoch }),

    async release() {
      await runs.updateMany({ open: true, 'lease.owner': owner }, { $set: { 'lease.until': new Date(0) } })
    }
  }
}

function toHeldRun(run: mongo.WithId<Run>): HeldRun {
  const { _id, tenantId, jobId, state, job, deadlineAt, stop, lease, recount } = run
  return {
    _id,
    tenantId,
    jobId,
    state,
    priority: job.priority,
    deadlineAt,
    stopAt: stop?.at ?? Number.POSITIVE_INFINITY,
    limits: job,
    epoch: lease.epoch,
    recount: recount ?? false
  }
}
