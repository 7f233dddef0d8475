import { type Bus, type Log, type ValuesChanged, valuesChanged } from '@fleetgate/kit'
import type { Measurement } from '../entities/measurement.js'
import { toWire } from '../entities/storedValue.js'

const atOnce = 200
/** Longer ones are asked for by who wants them. */
const maxLength = 4096
/** A message of NATS has 1 MB; a character takes up to six bytes in JSON, the rest of a value less than so many. */
const maxBytes = 900_000
const characterBytes = 6
const restBytes = 100

/** Tells open websockets of new values, of any replica. */
export function createTellValues({ bus, log }: { bus: Pick<Bus, 'signal'>; log: Log }) {
  return (tenantId: string, samples: readonly Measurement[]): void => {
    try {
      for (const values of messagesOf(samples)) bus.signal(valuesChanged, tenantId, { values })
    } catch (err) {
      log.warn({ err }, 'new values not told')
    }
  }
}

function* messagesOf(samples: readonly Measurement[]): Generator<Value[]> {
  let values: Value[] = []
  let bytes = 0
  for (const value of samples.map(toValue)) {
    const length = value.key.length + (typeof value.value === 'string' ? value.value.length : 0)
    const own = length * characterBytes + restBytes
    if (values.length === atOnce || (bytes + own > maxBytes && values.length > 0)) {
      yield values
      values = []
      bytes = 0
    }
    values.push(value)
    bytes += own
  }
  if (values.length > 0) yield values
}

type Value = ValuesChanged['values'][number]

function toValue({ key, valueType, value, at }: Measurement): Value {
  const wire = toWire(value)
  const isLong = typeof wire === 'string' && wire.length > maxLength
  return { key, valueType, at, ...(isLong ? {} : { value: wire }) }
}
