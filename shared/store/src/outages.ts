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

type Method = (...args: unknown[]) => unknown

/** Of the driver's own collection, which knows no hooks: what answers, and what gives a cursor that answers. */
const answering = [
  ...['bulkWrite', 'countDocuments', 'deleteMany', 'deleteOne', 'distinct', 'findOne', 'findOneAndDelete'],
  ...['findOneAndReplace', 'findOneAndUpdate', 'insertMany', 'insertOne', 'replaceOne', 'updateMany', 'updateOne']
]
const givingCursors = ['aggregate', 'find']
const cursorAnswers = ['next', 'toArray']

/** The same for what goes past mongoose to the collection of a model. */
export function reportOutagesOf(collection: object): void {
  if (guarded.has(collection)) return
  guarded.add(collection)
  replace(collection, answering, reporting)
  replace(collection, givingCursors, (method) => (...args) => {
    const cursor = method(...args) as object
    replace(cursor, cursorAnswers, reporting)
    return cursor
  })
}

function replace(owner: object, names: string[], change: (method: Method) => Method): void {
  const methods = owner as Record<string, Method>
  for (const name of names) methods[name] = change((methods[name] as Method).bind(owner))
}

function reporting(method: Method): Method {
  return async (...args) => {
    try {
      return await method(...args)
    } catch (error) {
      throw toAppError(error as Error)
    }
  }
}

function toAppError(error: Error): Error {
  return isOutage(error) ? new AppError('unavailable', 'the database cannot be reached', {}, { cause: error }) : error
}

/** Whether it is the database that is away. */
export function isOutage(error: Error): boolean {
  if (error instanceof mongo.MongoNetworkError || error instanceof mongo.MongoServerSelectionError) return true
  // A bulk write wraps whatever ended it, and keeps it under the name of the server's answer.
  const { errorResponse } = error as Partial<mongo.MongoServerError>
  if (error instanceof mongo.MongoBulkWriteError && errorResponse instanceof Error) return isOutage(errorResponse)
  // A replica set without a primary, after the driver's own second try.
  if (error instanceof mongo.MongoError) return error.hasErrorLabel('RetryableWriteError')
  // A socket that broke while it was written to (EPIPE, ECONNRESET): the driver passes these on as they are.
  return 'syscall' in error
}
