import type { Log } from '@fleetgate/contracts'
import type { AedesClient } from './aedesParts.js'

export interface VersionRefusal {
  /** Says no to a client of MQTT 5 in its own words and calls back when the connection is done with. */
  refuseMqtt5(client: AedesClient, wish: { clientId: string; maxPacketBytes: number | undefined }): Promise<Error>
  /** To be called before anything is read: a level that the parser does not know gets the answer of MQTT 3.1.1. */
  watch(client: AedesClient): void
}

/** MQTT-3.1.2-2 of 3.1.1: unacceptable protocol level. */
const mqtt3Answer = Buffer.from([0x20, 2, 0, 1])
const spoken = 'this broker speaks MQTT 3.1.1 and 3.1'
/** Error of mqtt-packet for a level that is none of 3, 4 and 5. */
const unknownLevel = 'Invalid protocol version'
/** For its answer to be read: what is closed while bytes of the client are unread takes the answer along. */
const lingerMs = 1_000
const logEveryMs = 60_000

export function createVersionRefusal({
  log,
  now,
  onRefused
}: {
  log: Log
  now: () => number
  onRefused: () => void
}): VersionRefusal {
  let loggedAt = Number.NEGATIVE_INFINITY
  let unlogged = 0

  /** One of them would else write a line at each of its attempts. */
  function note(client: AedesClient, fields: { level?: number; clientId?: string }): void {
    onRefused()
    unlogged += 1
    if (now() - loggedAt < logEveryMs) return
    log.warn({ ...fields, address: client.conn.remoteAddress, refused: unlogged }, `client refused: ${spoken}`)
    loggedAt = now()
    unlogged = 0
  }

  return {
    async refuseMqtt5(client, { clientId, maxPacketBytes }) {
      note(client, { level: 5, clientId })
      await sayLast(client, mqtt5Answer(maxPacketBytes))
      return new Error('MQTT 5 is not spoken')
    },

    watch(client) {
      const parser = client._parser
      const reports = parser.listeners('error') as ((error: Error) => void)[]
      parser.removeAllListeners('error')
      parser.on('error', async (error) => {
        if (error.message === unknownLevel) {
          note(client, {})
          await sayLast(client, mqtt3Answer)
        }
        for (const report of reports) report(error)
      })
    }
  }
}

/** CONNACK of MQTT 5 with reason code 0x84, and words (property 0x1F) unless the client takes no packet of that size. */
function mqtt5Answer(maxPacketBytes: number | undefined): Buffer {
  const words = Buffer.from(spoken)
  const properties = [0x1f, 0, words.length, ...words]
  const whole = Buffer.from([0x20, properties.length + 3, 0, 0x84, properties.length, ...properties])
  return whole.length <= (maxPacketBytes ?? whole.length) ? whole : Buffer.from([0x20, 3, 0, 0x84, 0])
}

/** Nothing of the client is read any more; resolves when it has closed, or had time to. */
function sayLast({ conn }: AedesClient, bytes: Buffer): Promise<void> {
  conn.removeAllListeners('readable')
  conn.resume()
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, lingerMs)
    conn.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    conn.end(bytes)
  })
}
