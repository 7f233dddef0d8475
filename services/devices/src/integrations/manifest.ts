import { compile, oneOf, recordOf, type Static, Type } from '@fleetgate/kit'
import { accessMods, entityTypes } from '../entities/entity.js'
import { checkIdentifier, type EntityTemplate, identifierPattern } from '../entities/entityKeys.js'
import { type StoredValue, valueTypes } from '../entities/storedValue.js'
import type { Template } from '../templates/template.js'
import type { PlainValue } from './claims.js'

const Identifier = Type.String({ minLength: 1, maxLength: 127, pattern: identifierPattern })
const Child = {
  identifier: Identifier,
  name: Type.String({ minLength: 1, maxLength: 127 }),
  valueType: oneOf(valueTypes),
  accessMod: Type.Optional(oneOf(accessMods)),
  attribute: Type.Optional(recordOf(Type.Unknown())),
  isVisible: Type.Optional(Type.Boolean()),
  description: Type.Optional(Type.String())
}

export const Manifest = Type.Object({
  /** A slug, the same as the name of the folder. */
  id: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
  name: Type.String({ minLength: 1 }),
  description: Type.Optional(Type.String()),
  /** A picture: the text of an SVG. */
  picture: Type.Optional(Type.String({ pattern: '^<svg ' })),
  /** Shown in no list. */
  isHidden: Type.Optional(Type.Boolean()),
  /** The SERVICE among `entities` whose children are the form of a new device. */
  addDevice: Type.Optional(Identifier),
  /** The SERVICE that stands for removing one: without it devices cannot be deleted. */
  deleteDevice: Type.Optional(Identifier),
  /** Entities of the integration itself; those of devices come with each device. */
  entities: Type.Array(
    Type.Object({ ...Child, type: oneOf(entityTypes), children: Type.Optional(Type.Array(Type.Object(Child))) })
  )
})
export type Manifest = Omit<Static<typeof Manifest>, 'entities'> & { entities: EntityTemplate[] }

/** What people filled into the form of a new device, by the identifiers of its fields. */
export type DeviceParams = Record<string, StoredValue>

/** A device as its integration wants it. */
export interface DeviceBlueprint {
  /** Its part of the keys, unique within the integration. */
  identifier: string
  additionalData?: Record<string, unknown>
  /** Id of the template that it was made by. */
  template?: string
  entities: EntityTemplate[]
}

/** One value of one device, or of the integration itself, measured now. */
export interface Reading {
  /** Identifier of the device; left out for an entity of the integration itself. */
  device?: string
  /** Identifier of the entity below the device or the integration. */
  entity: string
  value: unknown
}

/** What an integration may do with the product. */
export interface IntegrationTools {
  /** Its devices, oldest first. */
  listDevices(tenantId: string): AsyncIterable<IntegrationDevice>
  /** Values that an entity does not take are logged and dropped. */
  report(tenantId: string, readings: Reading[]): Promise<void>
  /**
   * Does the work while an entity of the integration itself has this value, and the other one when no process does such work
   * (any more), also where one dies at it.
   */
  during<T>(
    tenantId: string,
    state: { entity: string; value: PlainValue; otherwise: PlainValue },
    work: () => Promise<T>
  ): Promise<T>
  /** One of its devices. */
  findDevice(tenantId: string, id: string): Promise<IntegrationDevice | undefined>
  findTemplate(tenantId: string, id: string): Promise<Template | undefined>
  /** To the MQTT subscribers of the tenant; resolves when the wish is on disk. */
  publish(tenantId: string, topic: string, payload: string): Promise<void>
  /** Runs the workflow that begins with this trigger and answers what it puts out; nothing where there is none. */
  callWorkflow(tenantId: string, workflowId: string, params: Record<string, unknown>): Promise<Record<string, unknown>>
}

export interface IntegrationDevice {
  id: string
  identifier: string
  name: string
  template?: string | undefined
  additionalData: Record<string, unknown>
}

/** New values of properties of one device, or of the integration itself, checked and not yet kept. */
export interface Write {
  tenantId: string
  deviceId?: string | undefined
  /** By the identifiers of the entities. */
  values: Record<string, StoredValue>
}

export interface Call {
  tenantId: string
  /** Identifier of the service below the integration or its device. */
  service: string
  deviceId?: string | undefined
  /** By the identifiers of its children. */
  params: Record<string, StoredValue>
}

/** Each is asked for what its manifest promises; what it throws as AppError reaches the caller. */
export interface Handlers {
  addDevice?(name: string, params: DeviceParams, of: { tenantId: string }): DeviceBlueprint | Promise<DeviceBlueprint>
  /** Before the values are kept: what is thrown keeps them from it. */
  write?(write: Write): Promise<void>
  call?(call: Call): Promise<Record<string, unknown>>
  /** A device is gone, and its entities with it. Told at least once, and again until it resolves. */
  deviceRemoved?(device: IntegrationDevice, of: { tenantId: string }): Promise<void>
}

export interface Integration {
  manifest: Manifest
  handlers: Handlers
}

const check = compile(Manifest)

/** Throws at start, naming the folder and what is wrong. */
export function checkManifest(folder: string, value: unknown): Manifest {
  const manifest = check(value) as Manifest
  if (manifest.id !== folder) throw new Error(`integration ${folder}: its manifest says "${manifest.id}"`)
  for (const service of [manifest.addDevice, manifest.deleteDevice]) {
    if (service === undefined) continue
    checkIdentifier(service)
    const isThere = manifest.entities.some(({ identifier, type }) => identifier === service && type === 'SERVICE')
    if (!isThere) throw new Error(`integration ${folder}: there is no SERVICE ${service}`)
  }
  return manifest
}
