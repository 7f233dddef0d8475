import { type ResourceType, resourceTypes } from '@fleetgate/kit'

/** A named set of menus and resources. `super_admin` is one per tenant and allows everything. */
export interface Role {
  /** A 64-bit number in decimal; `1` is super_admin, in every tenant. */
  id: string
  tenantId: string
  name: string
  description: string
  menuIds: string[]
  resources: Resource[]
  /** Counts the changes of the menus. */
  revision: number
  /** Epoch ms. */
  createdAt: number
}

export interface Resource {
  id: string
  type: ResourceType
}

export const superAdminRole = { id: '1', name: 'super_admin' } as const

/** `TYPE:id`, as the store keeps it, and back. */
export function keyOf({ id, type }: Resource): string {
  return `${type}:${id}`
}

export function resourceOf(key: string): Resource {
  const colon = key.indexOf(':')
  const type = resourceTypes.find((known) => known === key.slice(0, colon))
  if (!type) throw new Error(`no resource: ${key}`)
  return { id: key.slice(colon + 1), type }
}

export function idsOf(role: Role, type: ResourceType): string[] {
  return role.resources.filter((resource) => resource.type === type).map(({ id }) => id)
}
