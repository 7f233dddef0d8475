export {
  type AnyBulkWriteOperation,
  type Model,
  type PipelineStage,
  type QueryFilter,
  Schema,
  type UpdateQuery
} from 'mongoose'
export * from './auditTrail.js'
export * from './conflict.js'
export * from './counters.js'
export * from './keyRing.js'
export * from './leases.js'
export * from './outbox.js'
export * from './paging.js'
export * from './pattern.js'
export * from './resealing.js'
export * from './sealedPlace.js'
export * from './secrets.js'
export * from './store.js'
export * from './totals.js'
