import { type Bus, clientConnected, clientDisconnected, detached, type Log, toToken } from '@fleetgate/contracts'
import type { Session } from '../broker/brokerDriver.js'
import type { PresenceStore, Presence as Row } from './presenceStore.js'

/** Writes down who is connected, and tells the others. */
export interface Presence {
  connected(session: Session): void
  disconnected(session: Session, reason: string): void
  /** Resolves when everything noted before the call is stored (not necessarily told). Waits at most `limitMs`. */
  settled(limitMs: number): Promise<void>
  /** What an earlier process of this node left as connected is not: writes and tells that. Before the listener opens. */
  clearLeftBehind(): Promise<void>
  /**
   * For a broker that outlasts us: answers what an earlier process left as connected, and tells the latest changes once
   * more. What has changed since is the broker's to say.
   */
  takeOver(): Promise<Session[]>
  /** Writes and tells what is left. */
  stop(): Promise<void>
}

export interface PresenceParts {
  store: PresenceStore
  bus: Pick<Bus, 'publish'>
  node: string
  /** Ends a connection whose client id turned out to be another tenant's. */
  evict(clientId: string, tenantId: string): void
  now: () => number
  log: Log
}

interface Change {
  session: Session
  /** Absent: it connected. */
  gone?: { at: number; reason: string }
}

const gatherMs = 25
const maxBatch = 1000
const maxWaiting = 200_000
const retryMs = 500
const stopWithinMs = 3_000
/** Changes of an earlier process this long before its end are told once more: it may have died between store and event. */
const repeatMs = 10 * 60_000

export function createPresence(parts: PresenceParts): Presence {
  const { store, bus, node, now, log } = parts
  let waiting: Change[] = []
  let working: Promise<void> | undefined
  let stored: Promise<void> = Promise.resolve()
  let told: Promise<void> = Promise.resolve()
  let untold = 0
  let stopped = false

  function note(change: Change): void {
    waiting.push(change)
    if (waiting.length > maxWaiting) {
      waiting = waiting.slice(maxWaiting / 10)
      log.error({}, 'presence changes dropped: database or NATS is away for too long')
    }
    working ??= detached(work)
  }

  async function work(): Promise<void> {
    await sleep(gatherMs)
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxBatch)
      const storing = persist(batch)
      stored = storing.then(() => undefined)
      tellLater(await storing)
    }
    working = undefined
  }

  /** In order, but not in the way of the next rows: those must not wait for NATS. */
  function tellLater(batch: Change[]): void {
    if (untold > maxWaiting) {
      log.error({ changes: batch.length }, 'presence changes not told: NATS is away for too long')
      return
    }
    untold += batch.length
    told = told
      .then(() => announce(batch))
      .then(() => {
        untold -= batch.length
      })
  }

  /** Until it succeeds. Answers the changes that stand now: all but those of ids that are another tenant's. */
  async function persist(batch: Change[]): Promise<Change[]> {
    const rows = new Map(batch.map((change) => [change.session.clientId, rowOf(change, node)]))
    let refused: string[] = []
    await untilDone('presence not stored, trying again', async () => {
      refused = await store.write([...rows.values()])
    })
    for (const clientId of refused) parts.evict(clientId, rows.get(clientId)?.tenantId ?? '')
    return refused.length === 0 ? batch : batch.filter(({ session }) => !refused.includes(session.clientId))
  }

  async function announce(batch: Change[]): Promise<void> {
    await untilDone('presence not told, trying again', async () => {
      await Promise.all(batch.map((change) => tell(change)))
    })
  }

  function tell({ session, gone }: Change): Promise<void> {
    const { tenantId, clientId, username, ip, connectedAt } = session
    const connection = { tenantId, clientId, username, ip, node, connectedAt }
    if (!gone) return bus.publish(clientConnected, connection, { id: `${toToken(clientId)}:${connectedAt}:up` })
    const data = { ...connection, disconnectedAt: gone.at, reason: gone.reason }
    return bus.publish(clientDisconnected, data, { id: `${toToken(clientId)}:${connectedAt}:down` })
  }

  async function untilDone(complaint: string, attempt: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await attempt()
      } catch (err) {
        log.warn({ err }, complaint)
        if (stopped) return
        await sleep(retryMs)
      }
    }
  }

  return {
    connected: (session) => note({ session }),
    disconnected: (session, reason) => note({ session, gone: { at: Math.max(now(), session.connectedAt), reason } }),

    async settled(limitMs) {
      if (waiting.length > 0) await sleep(gatherMs)
      await Promise.race([stored, sleep(limitMs)])
    },

    async clearLeftBehind() {
      const at = now()
      const batch: Change[] = []
      for await (const row of store.leftBehind(node, at - repeatMs)) {
        const gone = row.online
          ? { at, reason: 'broker restarted' }
          : { at: row.disconnectedAt ?? at, reason: row.reason ?? '' }
        batch.push({ session: row, gone })
        if (batch.length >= maxBatch) await announce(batch.splice(0))
      }
      await announce(batch)
      // Last: killed before this, the next start tells it once more.
      await store.setAllOffline(node, at, 'broker restarted')
    },

    async takeOver() {
      const since = now() - repeatMs
      const online: Session[] = []
      const batch: Change[] = []
      for await (const row of store.leftBehind(node, since)) {
        if (row.online) online.push(row)
        if (!row.online)
          batch.push({ session: row, gone: { at: row.disconnectedAt ?? since, reason: row.reason ?? '' } })
        else if (row.connectedAt >= since) batch.push({ session: row })
        if (batch.length >= maxBatch) await announce(batch.splice(0))
      }
      await announce(batch)
      return online
    },

    async stop() {
      stopped = true
      await Promise.race([Promise.resolve(working).then(() => told), sleep(stopWithinMs)])
    }
  }
}

function rowOf({ session, gone }: Change, node: string): Row {
  const { tenantId, clientId, username, ip, port, connectedAt, keepalive, protoVer, clean } = session
  const row = { tenantId, clientId, username, node, ip, port, connectedAt, online: !gone, keepalive, protoVer, clean }
  return gone ? { ...row, disconnectedAt: gone.at, reason: gone.reason } : row
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
