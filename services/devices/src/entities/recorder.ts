import type { Log } from '@fleetgate/kit'
import type { HistoryStore, Sample } from '../history/historyStore.js'
import type { EntityStore, NewLatest } from './entityStore.js'
import type { Measurement } from './measurement.js'
import type { Recording, RecordingStore } from './recordingStore.js'

export type Recorder = ReturnType<typeof createRecorder>

export interface RecorderOptions {
  history: Pick<HistoryStore, 'insert' | 'replace' | 'findAt'>
  entities: Pick<EntityStore, 'setLatest' | 'existing'>
  recordings: RecordingStore
  /** Hears of what was kept; what it rejects is for the writer, who may repeat all. */
  tell: (tenantId: string, samples: readonly Measurement[]) => Promise<void>
  log: Log
  now: () => number
}

/** Two stamps of one process. */
const stepMs = 1 / 1024
/** Whoever began to keep values has done so by then, or has died; one who is slow only does it twice. */
const leftAfterMs = 5_000
const leftAtOnce = 200

/** Keeps checked values: all of them in the history, the newest of each entity as its latest. */
export function createRecorder({ history, entities, recordings, tell, log, now }: RecorderOptions) {
  /** Processes stand apart by a fraction of the millisecond, which shows nowhere. */
  const own = Math.random()
  let last = 0

  async function keep({ tenantId, samples, by }: Recording): Promise<Kept> {
    const repeats = await history.insert(tenantId, samples, by)
    const replaced = by === undefined ? 0 : await history.replace(tenantId, repeats, by)
    return { samples, repeats: new Set<Sample>(repeats), replaced }
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

  /** May be repeated: what is there already stays as it is. Answers how many of the samples those were. */
  async function record(recording: Recording): Promise<number> {
    if (recording.samples.length === 0) return 0
    const kept = await keep(recording)
    await follow(recording.tenantId, kept)
    return kept.repeats.size - kept.replaced
  }

  /** Values of what was deleted meanwhile have nowhere to go. */
  async function finish({ tenantId, samples, by }: Recording): Promise<void> {
    const there = await entities.existing(tenantId, { ids: samples.map(({ entityId }) => entityId), keys: [] })
    await record({ tenantId, by, samples: samples.filter(({ entityId }) => there.has(entityId)) })
  }

  return {
    /** Now; never the same twice, in no process, because one entity has one value at one moment. */
    stamp(): number {
      last = Math.max(now() + own, last + stepMs)
      return last
    },

    /** For those who come again after a crash and bring the same. Answers how many of the samples changed nothing. */
    record: (tenantId: string, samples: Measurement[]) => record({ tenantId, samples }),

    /**
     * For those who do not: what was begun is finished by the sweep where the process dies. With `by` the samples take the
     * place of those of the same moment. Answers how many of them changed nothing.
     */
    async commit(recording: Recording): Promise<number> {
      if (recording.samples.length === 0) return 0
      const stamped = { ...recording, samples: recording.samples.map((one) => ({ ...one, by: recording.by })) }
      const id = await recordings.insert(recording, now())
      const repeated = await record(stamped)
      await recordings.remove(id)
      return repeated
    },

    /** Finishes what crashes left undone. */
    async sweep(): Promise<void> {
      for (const { id, ...left } of await recordings.listBegun(now() - leftAfterMs, leftAtOnce)) {
        try {
          await finish(left)
          await recordings.remove(id)
        } catch (err) {
          log.warn({ err, recording: id }, 'values that were begun to be kept are not all kept, trying again later')
        }
      }
    },

    /** `record` in parts: whoever brings them makes the next one ready while one goes into the history. */
    inParts(tenantId: string): Parts {
      const all: Kept = { samples: [], repeats: new Set(), replaced: 0 }
      let keeping = Promise.resolve()
      return {
        async add(samples) {
          await keeping
          keeping = keep({ tenantId, samples }).then(({ repeats }) => {
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
  /** How many of the repeats took the place of what was there. */
  replaced: number
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

function toLatest({ entityId, valueType, value, at, by }: Sample): NewLatest {
  return { id: entityId, valueType, value, at, by }
}
