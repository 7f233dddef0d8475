import { AppError } from '@fleetgate/contracts'
import { mongo, type Schema } from 'mongoose'

const operations =
  /^(aggregate|bulkWrite|countDocuments|deleteMany|deleteOne|distinct|estimatedDocumentCount|find|findOne|findOneAndDelete|findOneAndReplace|findOneAndUpdate|insertMany|replaceOne|save|updateMany|updateOne)$/

const guarded = new WeakSet<object>()

/** Makes every operation of a schema throw AppError('unavailable') when the database cannot be reached. */
export function reportOutages<T>(schema: Schema<T>): void {
  if (guarded.has(schema)) return
  guarded.add(schema)
  schema.post(operations, (error: Error, _result: unknown, next: (error?: Error) => void) => next(toAppError(error)))
}

function toAppError(error: Error): Error {
  return isOutage(error) ? new AppError('unavailable', 'the database cannot be reached', {}, { cause: error }) : error
}

function isOutage(error: Error): boolean {
  if (error instanceof mongo.MongoNetworkError || error instanceof mongo.MongoServerSelectionError) return true
  // A replica set without a primary, after the driver's own second try.
  if (error instanceof mongo.MongoError) return error.hasErrorLabel('RetryableWriteError')
  // A socket that broke while it was written to (EPIPE, ECONNRESET): the driver passes these on as they are.
  return 'syscall' in error
}
