import { detached, type Log } from '@fleetgate/kit'
import type { HistoryStore } from '../history/historyStore.js'
import type { EntityStore } from './entityStore.js'

export interface CleaningOptions {
  entities: Pick<EntityStore, 'listRemoved' | 'purge'>
  history: Pick<HistoryStore, 'removeOf'>
  log: Log
  now: () => number
}

const atOnce = 200
/** Whoever was writing values of an entity when it was removed is done by then. */
const keepRemovedMs = 60_000

/** Takes away the history of removed entities, and at last what is left of them. Never rejects; may be repeated. */
export function createCleaning({ entities, history, log, now }: CleaningOptions): () => Promise<void> {
  async function clean(): Promise<void> {
    const before = now() - keepRemovedMs
    let after = ''
    for (;;) {
      const removed = await entities.listRemoved(atOnce, after)
      for (const { id, tenantId } of removed) await history.removeOf(tenantId, id)
      const ids = removed.map(({ id }) => id)
      await entities.purge(ids, before)
      after = ids.at(-1) ?? ''
      if (removed.length < atOnce) return
    }
  }

  let running: Promise<void> | undefined
  let isAsked = false

  async function follow(): Promise<void> {
    try {
      while (isAsked) {
        isAsked = false
        await clean()
      }
    } catch (err) {
      log.warn({ err }, 'history of removed entities not removed, trying again later')
    }
    running = undefined
  }

  // Each goes over all that was removed lately: many who ask at once are answered by one.
  return () => {
    isAsked = true
    running ??= detached(follow)
    return running
  }
}
