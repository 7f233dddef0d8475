import { writeFile } from 'node:fs/promises'
import type { Connection } from './connection.js'
import type { Log } from './log.js'

export interface HeartbeatOptions {
  file: string
  connection: Pick<Connection, 'isConnected'>
  now: () => number
  log: Log
  everyMs?: number
}

/**
 * Writes the time into a file while the machine is connected, for who cannot ask a port whether the agent is well: an agent that
 * stands still, or has had no broker for a while, leaves the file as it is. Answers what ends it.
 */
export function startHeartbeat({ file, connection, now, log, everyMs = 15_000 }: HeartbeatOptions): () => void {
  const beat = () => {
    if (!connection.isConnected()) return
    writeFile(file, `${now()}\n`).catch((err) => log.warn({ err, file }, 'heartbeat not written'))
  }
  const timer = setInterval(beat, everyMs)
  return () => clearInterval(timer)
}
