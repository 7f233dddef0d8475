import { type OutboxEntry, outboxField } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { Wait } from './nodes/entries.js'

export interface Workflow {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  userId: string
  name: string
  remark: string
  enabled: boolean
  /** Counts the designs, from 1. */
  version: number
  /** The design document, as text. */
  design: string
  createdAt: number
  updatedAt: number
}

/** A workflow that waits for something, without its design. */
export interface Waiting {
  id: string
  tenantId: string
  version: number
  wait: Wait
  /** Of a timer: when it fires next, and when it was enabled. */
  nextAt?: number | undefined
  enabledAt: number
}

export interface WorkflowDoc extends Omit<Workflow, 'id'> {
  _id: string
  /** Of the enabled design only: what the entry waits for. `timer` is JSON text. */
  component?: string
  keys?: string[]
  topic?: string
  encoding?: string
  httpMethod?: string
  httpPath?: string
  credentialId?: string
  timer?: string
  nextAt?: number
  enabledAt?: number
  /** Runs begun within one minute: the guard against loops through the outside. */
  rate?: { minute: number; count: number }
  /** Since when the service of its trigger may not be as the design says. */
  unsettledAt?: number
  formerTenantId?: string
  outbox?: OutboxEntry[]
}

export const workflowSchema = new Schema<WorkflowDoc>({
  _id: String,
  /** Empty once deleted: no query of a tenant finds it while its event and its logs go. */
  tenantId: { type: String, default: '' },
  userId: { type: String, default: '' },
  name: { type: String, required: true },
  remark: { type: String, default: '' },
  enabled: { type: Boolean, required: true },
  version: { type: Number, required: true },
  design: { type: String, default: '' },
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true },
  component: String,
  keys: { type: [String], default: undefined },
  topic: String,
  encoding: String,
  httpMethod: String,
  httpPath: String,
  credentialId: String,
  timer: String,
  nextAt: Number,
  enabledAt: Number,
  rate: { type: { _id: false, minute: Number, count: Number }, default: undefined },
  unsettledAt: Number,
  formerTenantId: String,
  outbox: outboxField
})
workflowSchema.index({ tenantId: 1, createdAt: -1, _id: -1 })
workflowSchema.index({ tenantId: 1, keys: 1 }, { partialFilterExpression: { keys: { $exists: true } } })
workflowSchema.index({ tenantId: 1, topic: 1 }, { partialFilterExpression: { topic: { $exists: true } } })
// Two that wait for the same request: one of them would never be started.
const waitsForHttp = { partialFilterExpression: { httpPath: { $exists: true } } }
workflowSchema.index({ tenantId: 1, httpPath: 1, httpMethod: 1, credentialId: 1 }, { unique: true, ...waitsForHttp })
workflowSchema.index({ unsettledAt: 1 }, { partialFilterExpression: { unsettledAt: { $exists: true } } })
workflowSchema.index({ nextAt: 1 }, { partialFilterExpression: { nextAt: { $exists: true } } })

/** An older design of a workflow. */
export interface VersionDoc {
  /** `<workflow>:<version>` */
  _id: string
  tenantId: string
  workflowId: string
  version: number
  design: string
}

export const versionSchema = new Schema<VersionDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  workflowId: { type: String, required: true },
  version: { type: Number, required: true },
  design: { type: String, required: true }
})
versionSchema.index({ workflowId: 1, version: 1 })

export function toWorkflow(doc: WorkflowDoc): Workflow {
  const { _id, tenantId, userId, name, remark, enabled, version, design, createdAt, updatedAt } = doc
  return { id: _id, tenantId, userId, name, remark, enabled, version, design, createdAt, updatedAt }
}

export function toWaiting(doc: WorkflowDoc): Waiting {
  const { _id, tenantId, version, component = '', keys = [], topic, encoding, httpMethod, httpPath, credentialId } = doc
  const http =
    httpMethod === undefined || httpPath === undefined || credentialId === undefined
      ? undefined
      : { method: httpMethod, path: httpPath, credentialId }
  const timer = doc.timer === undefined ? undefined : JSON.parse(doc.timer)
  const wait: Wait = { component, keys, topic, encoding, http, timer }
  return { id: _id, tenantId, version, wait, nextAt: doc.nextAt, enabledAt: doc.enabledAt ?? 0 }
}

/** What the fields of `Waiting` are while a workflow is enabled; all of them go when it is not. */
export function waitFields({ component, keys, topic, encoding, http, timer }: Wait): Partial<WorkflowDoc> {
  return {
    component,
    ...(keys.length > 0 ? { keys } : {}),
    ...(topic === undefined ? {} : { topic }),
    ...(encoding === undefined ? {} : { encoding }),
    ...(http ? { httpMethod: http.method, httpPath: http.path, credentialId: http.credentialId } : {}),
    ...(timer ? { timer: JSON.stringify(timer) } : {})
  }
}

export const allWaitFields = [
  ...[
    'component',
    'keys',
    'topic',
    'encoding',
    'httpMethod',
    'httpPath',
    'credentialId',
    'timer',
    'nextAt',
    'enabledAt'
  ]
]
