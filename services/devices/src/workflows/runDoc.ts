import type { Origin } from '@fleetgate/kit'
import { Schema } from '@fleetgate/store'
import type { Trace } from './journal.js'

export type RunState = 'QUEUED' | 'RUNNING' | 'SUCCESS' | 'ERROR'

export interface Run {
  id: string
  tenantId: string
  workflowId: string
  version: number
  /** Names the causes: the same one starts a workflow only once. */
  once: string[]
  /** JSON of what the entry node puts out. */
  input: string
  /** How many runs led to this one. */
  depth: number
  /** Of the request or message that started it: whoever drives it goes on under that. */
  origin?: Origin | undefined
  state: RunState
  /** The node that was begun last and does something outside. */
  begun?: string | undefined
  traces: Trace[]
  message?: string | undefined
  queuedAt: number
  startedAt?: number | undefined
  finishedAt?: number | undefined
  /** Of the lease: every write carries it. */
  epoch: number
}

export type NewRun = Pick<Run, 'tenantId' | 'workflowId' | 'version' | 'once' | 'input' | 'depth' | 'origin'>

export interface RunDoc extends Omit<Run, 'id' | 'epoch'> {
  _id: string
  /** One of the places of its tenant, while it runs. */
  slot?: number
  lease?: { owner: string; until: Date; epoch: number }
}

export const runSchema = new Schema<RunDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  workflowId: { type: String, required: true },
  version: { type: Number, required: true },
  once: { type: [String], required: true },
  input: { type: String, required: true },
  depth: { type: Number, required: true },
  origin: { type: { _id: false, requestId: String, traceparent: String }, default: undefined },
  state: { type: String, required: true },
  begun: String,
  traces: { type: [Schema.Types.Mixed as never], default: [] },
  message: String,
  queuedAt: { type: Number, required: true },
  startedAt: Number,
  finishedAt: Number,
  slot: Number,
  lease: { type: { _id: false, owner: String, until: Date, epoch: Number }, default: undefined }
})
// One entry for each cause: none of them is in two runs.
runSchema.index({ workflowId: 1, once: 1 }, { unique: true })
// The bound on what a tenant runs at once is this index: it holds over all replicas.
runSchema.index({ tenantId: 1, slot: 1 }, { unique: true, partialFilterExpression: { slot: { $exists: true } } })
runSchema.index({ state: 1, tenantId: 1, queuedAt: 1 })
runSchema.index({ state: 1, 'lease.owner': 1 })
runSchema.index({ tenantId: 1, workflowId: 1, queuedAt: -1, _id: -1 })
runSchema.index({ finishedAt: 1 })

export function toRun({ _id, lease, slot, ...rest }: RunDoc): Run {
  return { ...rest, id: _id, traces: rest.traces ?? [], epoch: lease?.epoch ?? 0 }
}
