import { AppError, type Caller } from '@fleetgate/kit'
import type { EntityStore } from '../entities/entityStore.js'
import type { ReachOf } from '../grants/reach.js'
import type { LabelStore } from './labelStore.js'
import { createLabels } from './labels.js'

export interface EntityTagsOptions {
  store: LabelStore
  entities: Pick<EntityStore, 'countByTag' | 'retag' | 'dropTags' | 'findByIds'>
  reachOf: ReachOf
  now: () => number
}

export const tagOperations = ['ADD', 'OVERWRITE', 'REMOVE', 'REPLACE'] as const

export interface Tagging {
  operation: (typeof tagOperations)[number]
  entityIds: string[]
  added: string[]
  removed: string[]
}

export type EntityTags = ReturnType<typeof createEntityTags>

/** Of the real system. */
const maxTags = 300
const maxOfEntity = 10
const tries = 5

export function createEntityTags({ store, entities, reachOf, now }: EntityTagsOptions) {
  const labels = createLabels({
    store,
    what: 'tag',
    max: maxTags,
    counts: async (ids, caller) => entities.countByTag(caller.tenantId, ids, await reachOf(caller)),
    takeOff: entities.dropTags,
    now
  })
  return {
    ...labels,

    /**
     * Entities that are not there or out of reach are passed over. ADD adds, REMOVE takes away, REPLACE does both where the one to
     * take away is there, OVERWRITE leaves the added ones alone. Nothing changes where one would have more than ten.
     */
    async tag({ operation, entityIds, added, removed }: Tagging, caller: Caller): Promise<void> {
      const adds = operation !== 'REMOVE' ? [...new Set(added)] : []
      await labels.check(adds, 'added_tag_ids', caller)
      const reach = await reachOf(caller)
      for (let ids = entityIds, i = 0; i < tries; i++) {
        const found = await entities.findByIds(caller.tenantId, ids, reach)
        const changes = found.flatMap(({ id, tagIds: before }) => {
          const tagIds = tagsAfter(operation, before, adds, removed)
          return tagIds ? [{ id, before, tagIds }] : []
        })
        if (changes.some(({ tagIds }) => tagIds.length > maxOfEntity)) {
          throw new AppError('invalid_input', `an entity has at most ${maxOfEntity} tags`, { field: 'added_tag_ids' })
        }
        if (await entities.retag(caller.tenantId, changes)) return
        // Others have tagged some of them meanwhile: once more from what they have now. Those that are done stay as they are.
        ids = changes.map(({ id }) => id)
      }
      throw new AppError('conflict', 'these entities are being tagged by others, try again')
    }
  }
}

/** Nothing where they stay as they are. */
function tagsAfter(
  operation: Tagging['operation'],
  now: readonly string[],
  added: readonly string[],
  removed: readonly string[]
): string[] | undefined {
  const without = now.filter((id) => !removed.includes(id))
  const withAdded = (before: readonly string[]) => [...new Set([...before, ...added])]
  if (operation === 'OVERWRITE') return [...added]
  if (operation === 'REMOVE') return without.length < now.length ? without : undefined
  if (operation === 'REPLACE') return without.length < now.length ? withAdded(without) : undefined
  return withAdded(now)
}
