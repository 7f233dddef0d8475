import { createTurns, type ReceiveCommand, type Received, transferOf, upTopic } from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'
import type { Log } from '../log.js'
import { PathError } from '../paths.js'
import { publishUntilTaken } from '../publishUntilTaken.js'
import { type ReceiveParts, receiveFiles } from '../steps/receiveFiles.js'

/** Takes on a SERVER machine what other machines send to it. */
export interface Receives {
  receive(command: ReceiveCommand): void
  stop(): void
}

export interface ReceivesOptions {
  connection: Connection
  clientId: string
  isServer: boolean
  parts: ReceiveParts
  log: Log
}

export function createReceives({ connection, clientId, isServer, parts, log }: ReceivesOptions): Receives {
  const working = new Set<string>()
  /** Two machines that write to one place take turns. */
  const inTurn = createTurns()
  const stopped = new AbortController()
  const { signal } = stopped

  async function take(command: ReceiveCommand): Promise<void> {
    const { offerId, from } = command
    const end = await fetchAll(command).then(
      (message) => ({ message }),
      (error: Error) => ({ error: error.message })
    )
    if (signal.aborted) return
    log.info({ offerId, from, files: command.files.length, ...end }, 'files received')
    const received: Received = { offerId, from, ...end }
    await publishUntilTaken(connection, upTopic(clientId, 'received'), JSON.stringify(received), signal)
  }

  async function fetchAll(command: ReceiveCommand): Promise<string> {
    if (!isServer) throw new PathError('this machine is not a SERVER: it takes no files')
    const order = { ...command, transfer: transferOf(command) }
    return receiveFiles(parts, order, { signal, say: (message) => log.debug({ offerId: command.offerId }, message) })
  }

  return {
    // Offers are repeated until answered. What is at work is not begun again; what is done is done again, and finds that
    // the content is there.
    receive: (command) => {
      const { offerId, targetFilePath } = command
      if (working.has(offerId)) return
      working.add(offerId)
      inTurn(targetFilePath, () => take(command))
        .catch((error) => log.warn({ err: error, offerId }, 'files not received'))
        .finally(() => working.delete(offerId))
    },
    stop: () => stopped.abort()
  }
}
