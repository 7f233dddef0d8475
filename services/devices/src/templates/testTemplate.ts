import { AppError } from '@fleetgate/kit'
import type { StoredValue } from '../entities/storedValue.js'
import { checkValue } from '../entities/valueRules.js'
import { type Read, type Reader, readerOf } from '../telemetry/readMessage.js'
import type { Template } from './template.js'

export interface TestResult {
  device?: string | undefined
  at?: number | undefined
  entities: { identifier: string; value?: StoredValue | undefined; reason?: string | undefined }[]
}

export type TestTemplate = (template: Template, message: { topic?: string | undefined; payload: string }) => TestResult

/** What the consumer would take from a message, by the same steps; throws `invalid_input` where it would take nothing. */
export const testTemplate: TestTemplate = (template, { topic, payload }) => {
  const reader = readerOf(template)
  const device = topic === undefined ? undefined : deviceIn(topic, reader)
  const { values, at } = read(reader, payload)
  const specs = new Map(template.entities.map((entity) => [entity.identifier, entity]))
  const entities = values.map(({ entity: identifier, value }) => {
    const { valueType, attribute = {} } = specs.get(identifier) ?? { valueType: 'STRING' as const }
    const checked = checkValue({ valueType, attribute }, value)
    return 'reason' in checked ? { identifier, reason: checked.reason } : { identifier, value: checked.value }
  })
  return { device, at, entities }
}

function deviceIn(topic: string, { match }: Reader): string {
  const found = match(topic)
  if (found && 'device' in found) return found.device
  throw new AppError('invalid_input', `topic ${found?.reason ?? 'is not the one of the template'}`, { field: 'topic' })
}

function read(reader: Reader, payload: string): Read {
  try {
    return reader.read(Buffer.from(payload))
  } catch (cause) {
    throw new AppError('invalid_input', `test_data: ${(cause as Error).message}`, { field: 'test_data' }, { cause })
  }
}
