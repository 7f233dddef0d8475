import { type Bus, type Log, valuesChanged } from '@fleetgate/kit'
import type { Measurement } from '../entities/measurement.js'
import { toWire } from '../entities/storedValue.js'

const atOnce = 200
/** Longer ones are asked for by who wants them: a message of NATS has 1 MB. */
const maxLength = 4096

/** Tells open websockets of new values, of any replica. */
export function createTellValues({ bus, log }: { bus: Pick<Bus, 'signal'>; log: Log }) {
  return (tenantId: string, samples: readonly Measurement[]): void => {
    try {
      for (let begin = 0; begin < samples.length; begin += atOnce) {
        bus.signal(valuesChanged, tenantId, { values: samples.slice(begin, begin + atOnce).map(toValue) })
      }
    } catch (err) {
      log.warn({ err }, 'new values not told')
    }
  }
}

function toValue({ key, valueType, value, at }: Measurement) {
  const wire = toWire(value)
  const isLong = typeof wire === 'string' && wire.length > maxLength
  return { key, valueType, at, ...(isLong ? {} : { value: wire }) }
}
