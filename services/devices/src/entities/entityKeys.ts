import { AppError } from '@fleetgate/kit'
import type { AccessMod, Attribute, EntityDraft, EntityType } from './entity.js'
import type { ValueType } from './storedValue.js'

/** Letters, digits and `_ @ # $ - / [ ] :`; a dot would end the part of a key. */
export const identifierPattern = '^[A-Za-z0-9_@#$\\-/\\[\\]:]+$'

/** The hidden integration that people's own entities belong to. */
export const systemIntegration = 'system'

/** Made by people: their own entities, and the services that start their workflows. */
export function isCustomized({ integration }: { integration: string }): boolean {
  return integration === systemIntegration
}

interface Placed {
  integration: string
  key: string
  parentKey?: string | undefined
  isCustom: boolean
}

/** The id of the workflow that an entity starts; nothing for all other entities. */
export function workflowOf({ integration, key, parentKey, isCustom }: Placed): string | undefined {
  const isTrigger = isCustomized({ integration }) && !isCustom && parentKey === undefined
  return isTrigger ? key.slice(key.lastIndexOf('.') + 1) : undefined
}

/** What a manifest or a handler says of one entity. Two levels only: a parent and its children. */
export interface EntityTemplate extends ChildTemplate {
  type: EntityType
  children?: readonly ChildTemplate[]
}

export interface ChildTemplate {
  identifier: string
  name: string
  valueType: ValueType
  accessMod?: AccessMod
  attribute?: Attribute
  isVisible?: boolean
  description?: string
}

export interface EntityOwner {
  tenantId: string
  integration: string
  deviceId?: string
  deviceName?: string
  userId?: string
}

export function deviceKey(integration: string, identifier: string): string {
  return `${integration}.device.${identifier}`
}

export function integrationKey(integration: string, ...identifiers: string[]): string {
  return [integration, 'integration', ...identifiers].join('.')
}

/** Parents first, each followed by its children, which have its type. */
export function draftsOf(prefix: string, templates: readonly EntityTemplate[], owner: EntityOwner): EntityDraft[] {
  return templates.flatMap((template) => {
    const { children = [], type } = template
    const parent = draftOf(prefix, template, type, owner)
    return [parent, ...children.map((child) => ({ ...draftOf(parent.key, child, type, owner), parentKey: parent.key }))]
  })
}

function draftOf(prefix: string, template: ChildTemplate, type: EntityType, owner: EntityOwner): EntityDraft {
  const { identifier, name, valueType, accessMod, attribute = {}, isVisible = true, description } = template
  checkIdentifier(identifier)
  return {
    ...owner,
    key: `${prefix}.${identifier}`,
    name,
    type,
    accessMod: type === 'PROPERTY' ? (accessMod ?? 'RW') : undefined,
    valueType,
    attribute,
    isVisible,
    isCustom: false,
    description
  }
}

const identifierRule = new RegExp(identifierPattern)

export function checkIdentifier(identifier: string): void {
  if (identifier.length <= 127 && identifierRule.test(identifier)) return
  throw new AppError(
    'invalid_input',
    `identifier "${identifier.slice(0, 40)}" has characters that a key may not have`,
    {
      field: 'identifier'
    }
  )
}
