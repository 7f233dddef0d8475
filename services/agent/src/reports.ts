import { type Report, type ReportEvent, upTopic } from '@fleetgate/contracts/fleet'
import type { Connection } from './connection.js'
import type { Attempt, Book } from './journal/book.js'
import type { Log } from './log.js'

/** Sends what the book holds and the broker's side has not acknowledged, in order, until it has. */
export interface Reports {
  /** Something of this attempt is to be sent; `atOnce` does not wait for more. */
  kick(attempt: Attempt, atOnce?: boolean): void
  /** Sends all events of an attempt once more. */
  repeat(attempt: Attempt): void
  stop(): void
}

export interface ReportsOptions {
  book: Book
  connection: Connection
  clientId: string
  now: () => number
  log: Log
  /** Milliseconds to wait for more events after the first. */
  gatherMs?: number
}

const maxEvents = 100
const maxBytes = 128 * 1024

export function createReports({ book, connection, clientId, now, log, gatherMs = 50 }: ReportsOptions): Reports {
  const pending = new Set<Attempt>()
  const topic = upTopic(clientId, 'report')
  let timer: NodeJS.Timeout | undefined
  let isSending = false
  let isWanted = false
  let isStopped = false

  for (const attempt of book.attempts()) if (unsent(attempt).length > 0) pending.add(attempt)
  connection.onConnect(() => void send())

  /** One report at a time: what is stored first happened first. */
  async function send(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    if (isSending) {
      isWanted = true
      return
    }
    isSending = true
    try {
      while (!isStopped && connection.isConnected()) {
        const attempt = pending.values().next().value
        if (!attempt) break
        await sendOne(attempt)
      }
    } catch (error) {
      // The next connection begins again with what was not acknowledged.
      log.debug({ err: error }, 'report not acknowledged')
    } finally {
      isSending = false
    }
    // A new connection came while the work for the old one was ending.
    if (!isWanted) return
    isWanted = false
    void send()
  }

  async function sendOne(attempt: Attempt): Promise<void> {
    const events = firstOf(unsent(attempt))
    const last = events.at(-1)
    if (!last) {
      pending.delete(attempt)
      return
    }
    await book.durable()
    const { executionId, epoch } = attempt
    const report: Report = { executionId, attempt: attempt.attempt, epoch, sentAt: now(), events }
    await connection.publish(topic, JSON.stringify(report))
    book.acknowledge(attempt, last.seq)
  }

  function kick(attempt: Attempt, atOnce = false): void {
    pending.add(attempt)
    if (isSending || !connection.isConnected()) return
    if (atOnce) void send()
    else timer ??= setTimeout(() => void send(), gatherMs)
  }

  return {
    kick,
    repeat: (attempt) => {
      attempt.acknowledged = 0
      kick(attempt, true)
    },
    stop: () => {
      isStopped = true
      clearTimeout(timer)
    }
  }
}

function unsent(attempt: Attempt): ReportEvent[] {
  return attempt.events.filter((event) => event.seq > attempt.acknowledged)
}

function firstOf(events: ReportEvent[]): ReportEvent[] {
  let bytes = 0
  const end = events.slice(0, maxEvents).findIndex((event) => {
    bytes += (event.message?.length ?? 0) + (event.output?.length ?? 0) + 150
    return bytes > maxBytes
  })
  return events.slice(0, end < 0 ? maxEvents : Math.max(1, end))
}
