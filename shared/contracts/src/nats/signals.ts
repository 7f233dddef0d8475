import type { Log, Subscription } from '../bus.js'
import type { SignalContract } from '../messages.js'
import type { Static, TSchema } from '../schema.js'
import type { Link } from './link.js'
import { decodePayload, encodePayload, signalSubject } from './wire.js'

export function signal<S extends TSchema>(
  link: Link,
  contract: SignalContract<S>,
  tenantId: string,
  data: Static<S>
): void {
  // While NATS is away its client would keep what is published and send it late; a late signal is no signal.
  if (link.isUp()) link.connection.publish(signalSubject(contract, tenantId), encodePayload(contract.data, data))
}

export interface ListenOptions<S extends TSchema> {
  link: Link
  log: Log
  contract: SignalContract<S>
  tenantId: string
  handle(data: Static<S>): void
  onGap?(): void
}

export async function listen<S extends TSchema>(options: ListenOptions<S>): Promise<Subscription> {
  const { link, log, contract, tenantId } = options
  const subscription = link.connection.subscribe(signalSubject(contract, tenantId), {
    callback(error, message) {
      try {
        if (error) throw error
        options.handle(decodePayload(contract.data, message.data))
      } catch (err) {
        log.error({ err, subject: contract.subject }, 'signal not handled')
      }
    }
  })
  // The server has heard of it when it answers.
  if (link.isUp()) await link.connection.flush()
  const forget = options.onGap ? link.onReconnect(() => options.onGap?.()) : () => {}
  return {
    async stop() {
      forget()
      subscription.unsubscribe()
    }
  }
}
