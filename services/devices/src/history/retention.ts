import type { HistoryStore } from './historyStore.js'

const dayMs = 24 * 60 * 60 * 1000
const atOnce = 5000

/** Removes values older than so many days, some at a time, so that nobody waits long; 0 days keep everything. */
export function createRetention(options: {
  history: Pick<HistoryStore, 'removeOlder'>
  days: number
  now: () => number
}) {
  const { history, days, now } = options
  return async (stopped: AbortSignal): Promise<void> => {
    if (days === 0) return
    const than = now() - days * dayMs
    while (!stopped.aborted && (await history.removeOlder(than, atOnce)) === atOnce);
  }
}
