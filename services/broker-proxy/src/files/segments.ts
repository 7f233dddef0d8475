import type { Bus } from '@fleetgate/contracts'
import { AckPolicy, DiscardPolicy, NatsError, nanos, RetentionPolicy, StorageType } from 'nats'
import { directGet } from './directGet.js'
import { reached } from './outage.js'

/** Pieces of uploads that are not finished, by upload and byte offset. */
export interface Segments {
  put(uploadId: string, offset: number, bytes: Uint8Array): Promise<void>
  /** Offsets of what is stored, ascending. */
  offsets(uploadId: string): Promise<number[]>
  get(uploadId: string, offset: number): Promise<Uint8Array | undefined>
  /** Bytes of all that is stored, counted anew. */
  bytes(uploadId: string): Promise<number>
  remove(uploadId: string): Promise<void>
}

const stream = 'UPLOADS'
const root = 'fleetgate.upload'
/** As long as the upload's own row lives; what a client left unfinished goes with it. */
export const keptMs = 24 * 60 * 60 * 1000
const putWithinMs = 20_000
const nameInUse = 10058
const countedAtOnce = 1_000
const countWithinMs = 5_000

/**
 * One message for each segment: storing it is one round trip, storing it again replaces it, and the stream itself knows
 * what has arrived, so a killed process leaves nothing to repair.
 */
export async function openSegments(bus: Bus): Promise<Segments> {
  const { manager } = bus
  const wanted = {
    name: stream,
    subjects: [`${root}.>`],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_msgs_per_subject: 1,
    max_age: nanos(keptMs),
    allow_direct: true
  }
  await manager.streams.add(wanted).catch((error) => {
    // An operator has changed it (replicas, limits): that stands.
    if (!(error instanceof NatsError) || error.api_error?.err_code !== nameInUse) throw error
  })
  const subjectOf = (uploadId: string, offset: number) => `${root}.${uploadId}.${offset}`

  return {
    put: (uploadId, offset, bytes) => bus.publishRaw(subjectOf(uploadId, offset), bytes, { deadlineMs: putWithinMs }),

    async offsets(uploadId) {
      const filter = { subjects_filter: `${root}.${uploadId}.>` }
      const info = await reached(() => manager.streams.info(stream, filter))
      const subjects = Object.keys(info.state.subjects ?? {})
      return subjects.map((subject) => Number(subject.slice(subject.lastIndexOf('.') + 1))).sort((a, b) => a - b)
    },

    async get(uploadId, offset) {
      const found = await directGet(bus.connection, stream, { last_by_subj: subjectOf(uploadId, offset) })
      return found?.data
    },

    bytes: (uploadId) =>
      reached(async () => {
        const { name, num_pending } = await manager.consumers.add(stream, {
          filter_subject: `${root}.${uploadId}.>`,
          ack_policy: AckPolicy.None,
          headers_only: true,
          mem_storage: true,
          inactive_threshold: nanos(countWithinMs)
        })
        const consumer = await bus.connection.jetstream().consumers.get(stream, name)
        let sum = 0
        for (let left = num_pending; left > 0; ) {
          const before = left
          const wish = { max_messages: Math.min(left, countedAtOnce), expires: countWithinMs }
          for await (const { headers } of await consumer.fetch(wish)) {
            sum += Number(headers?.get('Nats-Msg-Size'))
            left -= 1
          }
          // Segments went meanwhile: those that came are all there are.
          if (left === before) break
        }
        await consumer.delete()
        return sum
      }),

    async remove(uploadId) {
      await reached(() => manager.streams.purge(stream, { filter: `${root}.${uploadId}.>` }))
    }
  }
}
