import { AppError, type Caller, newNumericId } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { Label, LabelStore, LabelText } from './labelStore.js'

export interface LabelsOptions {
  store: LabelStore
  /** In a sentence: `device group`. */
  what: string
  /** Of one tenant. */
  max: number
  /** How many things that the caller may see carry each. */
  counts: (ids: string[], caller: Caller) => Promise<Map<string, number>>
  takeOff: TakeOff
  now: () => number
}

/** Takes them off everything; may be repeated. */
export type TakeOff = (tenantId: string, ids: string[]) => Promise<void>

export interface LabelView extends Label {
  count: number
}

export type Labels = ReturnType<typeof createLabels>

/** Labels belong to the tenant: whoever has the function codes sees and changes all of them. */
export function createLabels({ store, what, max, counts, takeOff, now }: LabelsOptions) {
  return {
    async add(text: LabelText, { tenantId, userId }: Caller): Promise<string> {
      // Callers at the same moment may overshoot a little; the bound is there for the size of the lists only.
      if ((await store.count(tenantId)) >= max) throw new AppError('quota_exceeded', `there are ${max} already`)
      const id = newNumericId(now())
      await store.insert({ id, tenantId, userId, ...text, createdAt: now(), updatedAt: now() })
      return id
    },

    count: ({ tenantId }: Caller): Promise<number> => store.count(tenantId),

    async search(name: string | undefined, page: Page, caller: Caller): Promise<PageOf<LabelView>> {
      const { items, total } = await store.search(caller.tenantId, name, page)
      const found = await counts(
        items.map(({ id }) => id),
        caller
      )
      return { items: items.map((label) => ({ ...label, count: found.get(label.id) ?? 0 })), total }
    },

    async update(id: string, text: LabelText, { tenantId }: Caller): Promise<void> {
      if (!(await store.update(tenantId, id, text, now()))) throw new AppError('not_found', `there is no such ${what}`)
    },

    /** Unknown ids are passed over. */
    async remove(ids: string[], { tenantId }: Caller): Promise<void> {
      await store.remove(tenantId, ids, now())
      await takeOff(tenantId, ids)
    },

    /** Throws `invalid_input` where one of them is not there. */
    async check(ids: string[], field: string, { tenantId }: Caller): Promise<void> {
      const known = new Set(await store.known(tenantId, ids))
      const unknown = ids.find((id) => !known.has(id))
      if (unknown !== undefined)
        throw new AppError('invalid_input', `${field}: there is no ${what} ${unknown}`, { field })
    }
  }
}

/** Whoever found a label there just before it went is done with putting it on things by then. */
const keepRemovedMs = 60_000

/** Takes removed labels off what got them meanwhile, or kept them in a crash; a minute later they are forgotten. */
export function createLabelSweep({ store, takeOff, now }: Pick<LabelsOptions, 'store' | 'takeOff' | 'now'>) {
  return async (): Promise<void> => {
    const before = now() - keepRemovedMs
    const removed = await store.listRemoved()
    for (const { id, tenantId } of removed) await takeOff(tenantId, [id])
    const old = removed.filter(({ removedAt }) => removedAt < before)
    if (old.length > 0) await store.purge(old.map(({ id }) => id))
  }
}
