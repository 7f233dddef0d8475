import type { Page } from '@fleetgate/store'

/** An order that devices and entities have an index for. */
export interface Order {
  field: 'key' | 'createdAt'
  direction: 1 | -1
}

export interface OrderedPage extends Page {
  /** Newest first where nothing is said. */
  order?: Order | undefined
}

export function sortOf({ order }: OrderedPage): Record<string, 1 | -1> {
  if (!order) return { createdAt: -1, _id: -1 }
  const { field, direction } = order
  return field === 'key' ? { key: direction } : { createdAt: direction, _id: direction }
}
