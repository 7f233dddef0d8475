/** What a program on a fleet machine needs of the contracts, without the bus and its NATS client. */
export * from './appError.js'
export * from './casts.js'
export * from './fleetMessages.js'
export * from './fleetTopics.js'
export * from './ids.js'
export * from './schema.js'
export * from './steps.js'
export * from './transfer.js'
