import { setTimeout as delay } from 'node:timers/promises'
import type { Connection } from './connection.js'

/** Publishes until it is acknowledged, over as many connections as that takes. */
export async function publishUntilTaken(
  connection: Pick<Connection, 'publish'>,
  topic: string,
  payload: string,
  signal: AbortSignal
): Promise<void> {
  while (!signal.aborted) {
    try {
      return await connection.publish(topic, payload)
    } catch {
      await delay(500, undefined, { signal })
    }
  }
}
