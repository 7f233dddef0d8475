/** How many ids a document remembers; a repeat comes within seconds, long before so many others. */
const remembered = 64

/** Schema part of a document that consumed events change: the ids of the latest ones applied. */
export const appliedField = { type: [String], select: false, default: undefined }

/**
 * Makes an update of one document idempotent: put `filter` into the filter and `push` into `$push`. A repeat then
 * matches nothing, so the event's effect and the memory of it are one atomic write.
 *
 * `updateOne({ _id, ...once.filter }, { $inc: { done: 1 }, $push: once.push })`
 */
export function appliedOnce(eventId: string): {
  filter: { applied: { $ne: string } }
  push: { applied: { $each: string[]; $slice: number } }
} {
  return {
    filter: { applied: { $ne: eventId } },
    push: { applied: { $each: [eventId], $slice: -remembered } }
  }
}
