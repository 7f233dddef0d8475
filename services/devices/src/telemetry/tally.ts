import type { UplinkMessage } from '@fleetgate/kit'
import type { Refused } from '../entities/ingest.js'
import type { Template } from '../templates/template.js'
import type { TrafficOfBatch } from '../templates/templateStore.js'

/** What the messages of one batch were to their templates. */
export interface Tally {
  readonly ofTemplates: ReadonlyMap<string, TrafficOfBatch>
  taken(template: Template, message: UplinkMessage, samples: number): void
  /** A message of which nothing could be taken. */
  broken(template: Template, message: UplinkMessage, reason: string): void
  /** Values that their entities do not take. */
  refuse(refused: Refused[], sources: readonly { template: Template; message: UplinkMessage }[]): void
}

const maxShown = 256

export function createTally(): Tally {
  const ofTemplates = new Map<string, TrafficOfBatch>()

  function count({ id }: Template): TrafficOfBatch {
    const known = ofTemplates.get(id)
    if (known) return known
    const made: TrafficOfBatch = { messages: 0, samples: 0, refused: 0 }
    ofTemplates.set(id, made)
    return made
  }

  function see(template: Template, { receivedAt }: UplinkMessage): TrafficOfBatch {
    const traffic = count(template)
    traffic.messages += 1
    traffic.lastMessageAt = Math.max(traffic.lastMessageAt ?? 0, receivedAt)
    return traffic
  }

  function blame(traffic: TrafficOfBatch, { topic, receivedAt }: UplinkMessage, reason: string): void {
    traffic.refused += 1
    traffic.lastError = { at: receivedAt, topic: topic.slice(0, maxShown), reason: reason.slice(0, maxShown) }
  }

  return {
    ofTemplates,
    taken(template, message, samples) {
      see(template, message).samples += samples
    },
    broken(template, message, reason) {
      blame(see(template, message), message, reason)
    },
    refuse(refused, sources) {
      for (const { index, reason } of refused) {
        const source = sources[index]
        if (!source) continue
        const traffic = count(source.template)
        traffic.samples -= 1
        blame(traffic, source.message, reason)
      }
    }
  }
}
