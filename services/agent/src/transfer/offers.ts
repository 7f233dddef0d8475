import { setTimeout as delay } from 'node:timers/promises'
import { newRequestId, type Offer, type OfferEnd, upTopic } from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'

/** Offers stored files to the SERVER machines and waits until one has them. */
export interface Offers {
  /** Answers what the SERVER said of them; rejects with its reason, or when the time is over. */
  deliver(offer: Omit<Offer, 'offerId'>, options: DeliverOptions): Promise<string>
  onOfferEnd(end: OfferEnd): void
}

export interface DeliverOptions {
  timeoutMs: number
  signal: AbortSignal
  /** Told why it has to wait, when that changes. */
  say: (reason: string) => void
}

export interface OffersOptions {
  connection: Connection
  clientId: string
  /** Milliseconds between two offers of the same: whoever has lost it in between hears of it again. */
  repeatMs?: number
}

export function createOffers({ connection, clientId, repeatMs = 10_000 }: OffersOptions): Offers {
  const waiting = new Map<string, (end: OfferEnd) => void>()

  async function deliver(offer: Omit<Offer, 'offerId'>, { timeoutMs, signal, say }: DeliverOptions): Promise<string> {
    const offerId = newRequestId()
    const timer = new AbortController()
    const end = new Promise<OfferEnd>((resolve) => {
      let lastReason: string | undefined
      waiting.set(offerId, (heard) => {
        if (heard.waiting === undefined) return resolve(heard)
        if (heard.waiting !== lastReason) say(heard.waiting)
        lastReason = heard.waiting
      })
    })
    const payload = JSON.stringify({ ...offer, offerId } satisfies Offer)
    try {
      for (const begun = performance.now(); performance.now() - begun < timeoutMs; ) {
        // Without a connection it is offered at the next turn.
        await connection.publish(upTopic(clientId, 'offer'), payload).catch(() => undefined)
        const pause = delay(Math.min(repeatMs, timeoutMs), undefined, {
          signal: AbortSignal.any([timer.signal, signal])
        })
        const heard = await Promise.race([end, pause])
        if (heard) return outcomeOf(heard)
      }
      throw new Error(`no SERVER machine has taken it within ${timeoutMs / 1000} s`)
    } finally {
      timer.abort()
      waiting.delete(offerId)
    }
  }

  return { deliver, onOfferEnd: (end) => waiting.get(end.offerId)?.(end) }
}

function outcomeOf({ message, error }: OfferEnd): string {
  if (error !== undefined) throw new Error(error)
  return message ?? 'delivered'
}
