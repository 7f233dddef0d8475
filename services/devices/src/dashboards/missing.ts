import type { EntityStore } from '../entities/entityStore.js'
import type { Widget } from './dashboard.js'
import { namedBy, namedByAll } from './named.js'

/** Which entities that a widget names are not there (any more). */
export type MissingOf = (widget: Widget) => string[]

/** Looks the entities of all these widgets up at once. */
export async function missingAmong(
  widgets: readonly Widget[],
  entities: Pick<EntityStore, 'existing'>,
  tenantId: string
): Promise<MissingOf> {
  const { ids, keys } = namedByAll(widgets)
  if (ids.size + keys.size === 0) return () => []
  const there = await entities.existing(tenantId, { ids: [...ids], keys: [...keys] })
  return (widget) => {
    const named = namedBy(widget)
    return [...named.ids, ...named.keys].filter((name) => !there.has(name))
  }
}
