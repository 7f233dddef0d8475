import { createHash } from 'node:crypto'
import type { Machine } from '@fleetgate/kit'
import { deviceKey, type EntityTemplate } from '../entities/entityKeys.js'
import type { ValueType } from '../entities/storedValue.js'

export const fleet = 'fleet'

/** A machine reports itself: nothing of it is written here. */
function readOnly(identifier: string, name: string, valueType: ValueType = 'STRING', attribute = {}): EntityTemplate {
  return { identifier, name, valueType, attribute, type: 'PROPERTY', accessMod: 'R' }
}

/** Every machine has these; `of` answers what it says of itself. */
const own: { entity: EntityTemplate; of(machine: Machine): unknown }[] = [
  {
    entity: readOnly('status', 'Status', 'STRING', { enum: { ONLINE: 'Online', OFFLINE: 'Offline' } }),
    of: ({ status }) => status
  },
  { entity: readOnly('enabled', 'Enabled', 'BOOLEAN'), of: ({ enabled }) => enabled },
  { entity: readOnly('role', 'Role'), of: ({ role }) => role },
  { entity: readOnly('version', 'Version'), of: ({ version }) => version },
  { entity: readOnly('address', 'Address'), of: ({ ip }) => ip || undefined },
  { entity: readOnly('user', 'MQTT user'), of: ({ username }) => username || undefined }
]
/** Attributes that are numbers; all others are text, because machines may say anything. */
const measures: EntityTemplate[] = [readOnly('diskFree', 'Free disk', 'LONG', { unit: 'B' })]

/** Attributes take part in keys, which have no dot and no blank. */
export function identifierOf(attribute: string): string {
  return `attribute_${attribute.replaceAll(/[^A-Za-z0-9_@#$\-/[\]:]/g, '_')}`.slice(0, 127)
}

export function machineKey({ clientId }: Pick<Machine, 'clientId'>): string {
  return deviceKey(fleet, String(clientId))
}

/** The entities that a machine has. */
export function entitiesOf({ attributes }: Machine): EntityTemplate[] {
  const known = new Set(measures.map(({ identifier }) => identifier))
  const others = Object.keys(attributes).filter((name) => !known.has(name))
  const named = new Map(others.map((name) => [identifierOf(name), readOnly(identifierOf(name), name.slice(0, 127))]))
  return [...own.map(({ entity }) => entity), ...measures, ...named.values()]
}

/** Its values as they are now, by the keys of the entities. */
export function valuesOf(machine: Machine): Map<string, unknown> {
  const key = machineKey(machine)
  const values = new Map<string, unknown>()
  for (const { entity, of } of own) values.set(`${key}.${entity.identifier}`, of(machine))
  const known = new Set(measures.map(({ identifier }) => identifier))
  for (const [name, value] of Object.entries(machine.attributes)) {
    values.set(`${key}.${known.has(name) ? name : identifierOf(name)}`, value)
  }
  for (const [entity, value] of values) if (value === undefined) values.delete(entity)
  return values
}

const dayMs = 86_400_000

/**
 * Short for all that a machine says of itself. It is another one each day, for each machine at a minute of its own, so that what
 * somebody broke here is mended within a day.
 */
export function digestOf(machine: Machine, at: number): string {
  const day = Math.floor(at / dayMs + (machine.clientId % 1440) / 1440)
  return createHash('sha256')
    .update(JSON.stringify([day, machine]))
    .digest('base64url')
    .slice(0, 22)
}
