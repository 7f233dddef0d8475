import { AppError } from '@fleetgate/kit'
import { integrationKey } from '../entities/entityKeys.js'
import { checkValue } from '../entities/valueRules.js'
import type { DeviceParams, Manifest } from '../integrations/manifest.js'

/** What was filled in, by the identifiers of the form; keys that are not of the form are passed over. */
export function paramsOf({ id, addDevice, entities }: Manifest, given: Record<string, unknown>): DeviceParams {
  const form = entities.find(({ identifier }) => identifier === addDevice)
  const params: DeviceParams = {}
  for (const { identifier, valueType, attribute = {} } of form?.children ?? []) {
    const key = integrationKey(id, form?.identifier ?? '', identifier)
    const checked = checkValue({ valueType, attribute }, Object.hasOwn(given, key) ? given[key] : undefined)
    if ('reason' in checked) {
      throw new AppError('invalid_input', `${key} ${checked.reason}`, { field: key })
    }
    if (checked.value !== undefined) params[identifier] = checked.value
  }
  return params
}
