import type { Msg, MsgHdrs } from 'nats'

/** A message as a pull consumer delivered it. */
export interface Pulled {
  subject: string
  data: Uint8Array
  headers: MsgHdrs | undefined
  /** Its place in the stream. */
  sequence: number
  /** Counts this consumer's deliveries without a gap. */
  deliverySequence: number
  deliveries: number
  /** Epoch ms. */
  storedAt: number
  /** How many more the stream held for this consumer when it sent this one. */
  pending: number
  ack(): void
  nak(): void
  working(): void
  /** Ends it: it is never delivered again. */
  term(reason: string): void
}

/**
 * Reads the delivery's facts from the reply subject:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<ns>.<pending>`; newer servers put a domain
 * and an account before the stream and may add a token at the end.
 */
export function readPulled(message: Msg): Pulled {
  const tokens = (message.reply ?? '').split('.')
  const [deliveries, sequence, deliverySequence, storedNanos, pending] = tokens.slice(tokens.length > 9 ? 6 : 4)
  return {
    subject: message.subject,
    data: message.data,
    headers: message.headers,
    sequence: Number(sequence),
    deliverySequence: Number(deliverySequence),
    deliveries: Number(deliveries),
    storedAt: Math.floor(Number(storedNanos) / 1e6),
    pending: Number(pending),
    ack: () => void message.respond('+ACK'),
    nak: () => void message.respond('-NAK'),
    working: () => void message.respond('+WPI'),
    term: (reason) => void message.respond(`+TERM ${reason}`)
  }
}
