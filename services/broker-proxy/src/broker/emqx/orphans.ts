import type { Log } from '@fleetgate/contracts'
import type { EmqxApi, EmqxSession } from './api.js'
import { type Heir, isReceiver, type Link, openHeir, ownReceivers, type ReceiverOptions } from './links.js'

export interface OrphanParts extends ReceiverOptions {
  api: Pick<EmqxApi, 'sessions'>
  /** Somebody has to be in the group: what nobody has subscribed to EMQX drops. */
  isListening(): boolean
  now: () => number
  log: Log
}

/** Looks so much longer than between two looks before it takes a replica for gone; one that restarts is there sooner. */
const patience = 1.5

/**
 * Takes in what EMQX keeps for receivers whose replicas are gone for good (scaled down, renamed): it chooses among all members of
 * the group, absent ones too, and would keep a part of all reports for them until their sessions end.
 */
export function watchOrphans(parts: OrphanParts): Link {
  const { api, settings, log, now } = parts
  const heirs = new Map<string, Heir>()
  /** Sessions that were taken over and not seen to be empty since: what EMQX counts of them may be old. */
  const unfinished = new Set<string>()
  const own = new Set(ownReceivers(settings))
  const everyMs = settings.reconcileMs
  const patienceMs = everyMs * patience

  function isOrphan(session: EmqxSession): boolean {
    const { clientId, isConnected, disconnectedAt } = session
    if (isConnected || !isReceiver(clientId)) return false
    if (isEmpty(session) && !unfinished.has(clientId)) return false
    if (own.has(clientId) || heirs.has(clientId)) return false
    return now() - disconnectedAt > patienceMs
  }

  function inherit({ clientId, queued }: EmqxSession): void {
    log.warn({ clientId, queued }, 'a replica is gone: its session at EMQX is taken over')
    unfinished.add(clientId)
    heirs.set(clientId, openHeir({ ...parts, clientId, onEnd: () => heirs.delete(clientId) }))
  }

  async function look(): Promise<void> {
    for await (const session of api.sessions(settings.username)) {
      const heir = heirs.get(session.clientId)
      if (isOrphan(session)) inherit(session)
      // EMQX counts now and then only.
      else if (heir && isEmpty(session) && heir.quietMs() > patienceMs) {
        unfinished.delete(session.clientId)
        await heir.close()
      } else if (!heir && session.isConnected) unfinished.delete(session.clientId)
    }
  }

  const timer = setInterval(() => {
    // Without a name of ours the whole list would have to be read.
    if (settings.username !== undefined && parts.isListening())
      look().catch((err) => log.warn({ err }, 'sessions of gone replicas not read'))
  }, everyMs)
  timer.unref()

  return {
    async close() {
      clearInterval(timer)
      await Promise.all([...heirs.values()].map((heir) => heir.close()))
    }
  }
}

function isEmpty({ subscriptions, queued, inflight }: EmqxSession): boolean {
  return subscriptions + queued + inflight === 0
}
