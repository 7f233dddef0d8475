import type { Origin } from '@fleetgate/kit'
import { createLeases as createStoreLeases } from '@fleetgate/store'
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
  /** Of the request that opened it. */
  origin?: Origin | undefined
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

/** The leases of shared/store on runs, which answer what is held at each renewal. */
export function createLeases(runs: mongo.Collection<Run>, owner: string, leaseMs: number): Leases {
  const leases = createStoreLeases(runs, owner, leaseMs)
  const projection = {
    tenantId: 1,
    jobId: 1,
    state: 1,
    job: 1,
    deadlineAt: 1,
    stop: 1,
    lease: 1,
    recount: 1,
    requestId: 1,
    traceparent: 1
  }

  return {
    keep: leases.keep,
    async renew() {
      await leases.renew()
      const held = await runs.find(leases.held(), { projection }).toArray()
      return held.map(toHeldRun).sort((a, b) => b.priority - a.priority)
    },
    fence: leases.fence,
    release: leases.release
  }
}

function toHeldRun(run: mongo.WithId<Run>): HeldRun {
  const { _id, tenantId, jobId, state, job, deadlineAt, stop, lease, recount, requestId, traceparent } = run
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
    recount: recount ?? false,
    origin: requestId || traceparent ? { requestId, traceparent } : undefined
  }
}
