import { pointerOf } from '../templates/checkTemplate.js'
import { fromDevice } from '../templates/conversion.js'
import { segmentsOf, valueAt } from '../templates/pointer.js'
import type { Template } from '../templates/template.js'
import { matcherOf, type TopicMatch } from '../templates/topicPattern.js'

/** What a message says of its device. */
export interface Read {
  values: { entity: string; value: unknown }[]
  /** Epoch ms; nothing where the message has no time of its own. */
  at?: number
}

/** A template made ready for many messages. */
export interface Reader {
  match: TopicMatch
  /** Throws an Error whose message is the reason. */
  read(payload: Uint8Array): Read
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

export function readerOf({ topic, timestamp, entities }: Pick<Template, 'topic' | 'timestamp' | 'entities'>): Reader {
  const sources = entities
    .filter(({ type }) => type !== 'SERVICE')
    .map((entity) => ({ ...entity, segments: segmentsOf(pointerOf(entity)) }))
  const clock = timestamp && { unit: timestamp.unit, segments: segmentsOf(timestamp.pointer) }

  return {
    match: matcherOf(topic),
    read(payload) {
      const document = parse(payload)
      const at = clock && timeOf(valueAt(document, clock.segments), clock.unit)
      const values = sources.flatMap(({ identifier, segments, conversion, valueType }) => {
        const raw = valueAt(document, segments)
        if (raw === undefined) return []
        return [{ entity: identifier, value: fromDevice(raw, conversion, valueType === 'LONG') }]
      })
      return at === undefined ? { values } : { values, at }
    }
  }
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(payload))
  } catch (cause) {
    throw new Error('payload is no JSON', { cause })
  }
}

function timeOf(raw: unknown, unit: 'ms' | 's' | 'iso'): number | undefined {
  if (raw === undefined || raw === null) return undefined
  const isText = typeof raw === 'string' && raw.trim() !== ''
  const isTime = isText || (typeof raw === 'number' && unit !== 'iso')
  const at = unit === 'iso' ? Date.parse(inUtc(String(raw))) : Math.round(Number(raw) * (unit === 's' ? 1000 : 1))
  if (!isTime || !Number.isFinite(at) || at < 0) throw new Error('timestamp cannot be read')
  return at
}

const withoutZone = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/

/** A time that names no zone is UTC, wherever this runs. */
function inUtc(text: string): string {
  return withoutZone.test(text) ? `${text}Z` : text
}
