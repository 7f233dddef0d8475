import { compile, Type } from '@fleetgate/kit'
import type { LiveValue } from './feeds.js'

/** What a client says, as text of JSON; `event_type` in any case. */
const Frame = compile(
  Type.Object({ event_type: Type.String({ maxLength: 64 }), payload: Type.Optional(Type.Unknown()) })
)
const Wish = compile(
  Type.Object({
    entity_key: Type.Array(Type.String({ maxLength: 512 }), { maxItems: 5000 }),
    /** Ours: values come with the keys. */
    with_values: Type.Boolean({ default: false })
  })
)

export interface Wanted {
  keys: string[]
  withValues: boolean
}

export type Heard = { heartbeat: true } | { wanted: Wanted }

/** Throws AppError('invalid_input') and SyntaxError; nothing for an event that we do not know. */
export function readFrame(text: string): Heard | undefined {
  const { event_type, payload } = Frame(JSON.parse(text))
  switch (event_type.toLowerCase()) {
    case 'heartbeat':
      return { heartbeat: true }
    case 'exchange': {
      const { entity_key, with_values } = Wish(payload ?? {})
      return { wanted: { keys: [...new Set(entity_key)], withValues: with_values } }
    }
    default:
      return undefined
  }
}

export function exchangeFrame(values: ReadonlyMap<string, LiveValue>, withValues: boolean): string {
  const payload = { entity_key: [...values.keys()], ...(withValues ? { values: wireValues(values) } : {}) }
  return JSON.stringify({ event_type: 'Exchange', payload })
}

function wireValues(values: ReadonlyMap<string, LiveValue>) {
  return Object.fromEntries(
    [...values]
      .filter(([, { value }]) => value !== undefined)
      .map(([key, { value, valueType, at }]) => {
        return [key, { value, value_type: valueType, timestamp: String(Math.floor(at ?? 0)) }]
      })
  )
}

/** The seed knows no answer to a frame that cannot be read. */
export function errorFrame(message: string): string {
  const payload = { error_code: 'parameter_validation_failed', error_message: message }
  return JSON.stringify({ event_type: 'Error', payload })
}
