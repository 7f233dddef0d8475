import type { HistoryStore, Sample } from '../history/historyStore.js'
import type { EntityStore, NewLatest } from './entityStore.js'
import type { Measurement } from './measurement.js'

export type Recorder = ReturnType<typeof createRecorder>

export interface RecorderOptions {
  history: Pick<HistoryStore, 'insert' | 'findAt'>
  entities: Pick<EntityStore, 'setLatest'>
  /** Hears of what was kept; what it rejects is for the writer, who may repeat all. */
  tell: (tenantId: string, samples: readonly Measurement[]) => Promise<void>
  now: () => number
}

/** Two stamps of one process. */
const stepMs = 1 / 1024

/** Keeps checked values: all of them in the history, the newest of each entity as its latest. */
export function createRecorder({ history, entities, tell, now }: RecorderOptions) {
  /** Processes stand apart by a fraction of the millisecond, which shows nowhere. */
  const own = Math.random()
  let last = 0

  async function keep(tenantId: string, samples: Measurement[]): Promise<Kept> {
    return { samples, repeats: new Set<Sample>(await history.insert(tenantId, samples)) }
  }

  async function follow(tenantId: string, { samples, repeats }: Kept): Promise<void> {
    const newest = newestOf(samples.filter(({ hasLatest }) => hasLatest))
    const latest = await Promise.all(
      // Of two samples of the same moment the one that was stored counts.
      newest.map(async (one) => (repeats.has(one) ? await history.findAt(tenantId, one.entityId, one.at) : one))
    )
    await entities.setLatest(
      tenantId,
      latest.flatMap((one) => (one ? toLatest(one) : []))
    )
    // Repeats too: whoever kept them may have died before telling.
    await tell(tenantId, samples)
  }

  return {
    /** Now; never the same twice, in no process, because one entity has one value at one moment. */
    stamp(): number {
      last = Math.max(now() + own, last + stepMs)
      return last
    },

    /** May be repeated: what is there already stays as it is. Answers how many of the samples those were. */
    async record(tenantId: string, samples: Measurement[]): Promise<number> {
      if (samples.length === 0) return 0
      const kept = await keep(tenantId, samples)
      await follow(tenantId, kept)
      return kept.repeats.size
    },

    /** `record` in parts: whoever brings them makes the next one ready while one goes into the history. */
    inParts(tenantId: string): Parts {
      const all: Kept = { samples: [], repeats: new Set() }
      let keeping = Promise.resolve()
      return {
        async add(samples) {
          await keeping
          keeping = keep(tenantId, samples).then(({ repeats }) => {
            for (const sample of samples) all.samples.push(sample)
            for (const sample of repeats) all.repeats.add(sample)
          })
          // Whoever waits next hears of it; until then it is no unhandled one.
          keeping.catch(() => undefined)
        },
        async end() {
          await keeping
          if (all.samples.length > 0) await follow(tenantId, all)
        }
      }
    }
  }
}

export interface Parts {
  /** Resolves when the next may come; rejects with what went wrong with the one before. */
  add(samples: Measurement[]): Promise<void>
  /** Resolves when all are kept and told of. */
  end(): Promise<void>
}

interface Kept {
  samples: Measurement[]
  repeats: Set<Sample>
}

/** Of samples of the same moment the first: the others are repeats of it. */
function newestOf(samples: Sample[]): Sample[] {
  const newest = new Map<string, Sample>()
  for (const sample of samples) {
    const known = newest.get(sample.entityId)
    if (!known || sample.at > known.at) newest.set(sample.entityId, sample)
  }
  return [...newest.values()]
}

function toLatest({ entityId, valueType, value, at }: Sample): NewLatest {
  return { id: entityId, valueType, value, at }
}
