import { openStore } from '@fleetgate/store'
import { quietLog } from '@fleetgate/testkit'
import { type Document, insertCopies } from '../bench/insertCopies.js'

/** A sample as devices has stored it, without its `_id`. */
export interface Row extends Document {
  entityId: string
  at: number
}

export interface Span {
  from: number
  to: number
}

/** The collection with the history of all entities, past the product. */
export type HistoryRows = Awaited<ReturnType<typeof openHistory>>

/** A second between two rows of one entity. */
export const stepMs = 1000
/** Rows of the entity that is asked for: every ninth of those filled in, so that all are among the few. */
export const points = 10_000
export const fewRows = 10 * points
const everyNth = 9
const collection = 'history'
const plainBatch = 1000

export async function openHistory(mongoUri: string, tenantId: string) {
  const store = await openStore({ uri: mongoUri, database: 'fleetgate_devices', log: quietLog })
  const rows = store.connection.collection(collection)
  const within = ({ from, to }: Span) => ({ tenantId, at: { $gte: from, $lte: to } })
  let filled = 0

  return {
    total: () => rows.countDocuments({}),
    count: (span: Span) => rows.countDocuments(within(span)),

    async read(span: Span): Promise<Row[]> {
      // Unpromoted: a DOUBLE that is a whole number would go back as an integer.
      const found = await rows.find(within(span), { projection: { _id: 0 }, promoteValues: false }).toArray()
      return found as unknown as Row[]
    },

    /** What is measured against: copies of real samples at other times, in batches of 1000, journaled as the product's are. */
    async insertPlain(samples: Row[], count: number, from: number): Promise<void> {
      const copy = (index: number) => copyOf(samples, index, { from, everyMs: 1 })
      await insertCopies(store, { collection, count, copy, atOnce: plainBatch, isJournaled: true })
    },

    /** Goes on filling in copies until there are `total` rows: the points of the first sample's entity among the first. */
    async fillTo(total: number, [asked, ...others]: [Row, ...Row[]], from: number): Promise<void> {
      const count = Math.max(0, total - (await this.total()))
      const begun = filled
      const copy = (index: number) => {
        const place = begun + index
        const point = place / everyNth
        if (point < points && Number.isInteger(point)) return { ...asked, at: from + point * stepMs }
        return copyOf(others, place, { from, everyMs: stepMs })
      }
      await insertCopies(store, { collection, count, copy, atOnce: 5000, isJournaled: false })
      filled += count
    },

    close: () => store.close()
  }
}

/** Turn by turn of each sample's entity, so that no entity has two values at one moment. */
function copyOf(samples: Row[], index: number, { from, everyMs }: { from: number; everyMs: number }): Document {
  return { ...samples[index % samples.length], at: from + Math.floor(index / samples.length) * everyMs }
}
