import { setTimeout as sleep } from 'node:timers/promises'
import { type MsgHdrs, NatsError } from 'nats'
import { AppError } from '../appError.js'
import type { PublishOptions } from '../bus.js'
import { newRequestId } from '../ids.js'
import type { Link } from './link.js'
import { newHeaders } from './wire.js'

export interface Publisher {
  /** Resolves when the stream has stored the message; several run at once without waiting for each other. */
  publish(
    subject: string,
    payload: Uint8Array | string,
    options?: PublishOptions,
    addHeaders?: (made: MsgHdrs) => void
  ): Promise<void>
}

const defaultDeadlineMs = 10_000
const attemptMs = 5_000
const firstPauseMs = 50
const longestPauseMs = 1_000

export function createPublisher(link: Link): Publisher {
  async function attempt(subject: string, payload: Uint8Array | string, made: MsgHdrs, timeout: number): Promise<void> {
    const reply = await link.request(subject, payload, { timeout, headers: made })
    const ack = reply.json<{ error?: { description?: string }; seq?: number }>()
    if (ack.error || !ack.seq) throw new Error(ack.error?.description ?? 'not acknowledged by a stream')
  }

  return {
    async publish(subject, payload, options = {}, addHeaders) {
      // An id of our own where there is none: a try whose answer was lost must not be stored twice.
      const { id = newRequestId(), requestId, traceparent } = options
      const made = newHeaders({ messageId: id, requestId, traceparent })
      addHeaders?.(made)
      const deadline = Date.now() + (options.deadlineMs ?? defaultDeadlineMs)
      let cause: unknown = new Error('not connected')
      for (let pause = firstPauseMs; ; pause = Math.min(longestPauseMs, pause * 2)) {
        if (link.connection.isClosed()) throw new AppError('unavailable', 'the event stream is closed', {}, { cause })
        const left = deadline - Date.now()
        if (left <= 0) throw new AppError('unavailable', 'the event stream does not answer', {}, { cause })
        try {
          if (link.isUp()) return await attempt(subject, payload, made, Math.min(left, attemptMs))
        } catch (error) {
          cause = refuseHopeless(error)
        }
        await sleep(Math.min(pause, Math.max(0, deadline - Date.now())))
      }
    }
  }
}

/** Throws where no later try can succeed; answers the error otherwise. */
function refuseHopeless(error: unknown): unknown {
  if (!(error instanceof NatsError)) return error
  if (error.code === 'MAX_PAYLOAD_EXCEEDED')
    throw new AppError('body_too_large', 'the message is too large', {}, { cause: error })
  return error
}
