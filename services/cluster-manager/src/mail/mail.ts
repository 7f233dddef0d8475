import { createHash } from 'node:crypto'
import {
  type Caller,
  currentOrigin,
  type Found,
  type Origin,
  type Range,
  type Static,
  type sendMail
} from '@fleetgate/kit'
import type { MailStore } from './mailStore.js'

export const mailStates = ['WAITING', 'SENT', 'FAILED'] as const
export type MailState = (typeof mailStates)[number]

export interface Refusal {
  address: string
  reason: string
}

export interface Mail {
  tenantId: string
  /** Names the mail within its tenant: the same one twice is one mail. */
  messageId: string
  to: string[]
  /** Of `to`, who has neither got nor refused it. */
  open: string[]
  refused: Refusal[]
  subject: string
  text: string
  state: MailState
  attempts: number
  /** Epoch ms. */
  nextAttemptAt: number
  /** Why it waits or failed. */
  reason?: string | undefined
  /** Number of the lease that may write. */
  epoch: number
  /** Of the work that asked for it: each attempt, and what is told of it, goes on under that. */
  origin?: Origin | undefined
  createdAt: number
  sentAt?: number | undefined
}

export interface MailsOptions {
  store: MailStore
  now: () => number
  /** A mail waits. */
  onKept: () => void
}

export type Mails = ReturnType<typeof createMails>

export function createMails({ store, now, onKept }: MailsOptions) {
  return {
    /** Keeps it to be sent; the same messageId again changes nothing. */
    async keep(asked: Static<typeof sendMail.request>): Promise<{ isNew: boolean }> {
      const { tenantId, messageId, subject, text } = asked
      const to = [...new Set(asked.to)]
      const at = now()
      const isNew = await store.insert({
        tenantId,
        messageId,
        to,
        open: to,
        refused: [],
        subject,
        text,
        state: 'WAITING',
        attempts: 0,
        nextAttemptAt: at,
        epoch: 0,
        origin: currentOrigin(),
        createdAt: at
      })
      if (isNew) onKept()
      return { isNew }
    },

    list: (state: MailState | undefined, range: Range, { tenantId }: Caller): Promise<Found<Mail>> =>
      store.list(tenantId, state, range)
  }
}

/** The same for each attempt, so that a mail program shows a mail that came twice once. */
export function messageIdHeader({ tenantId, messageId }: Pick<Mail, 'tenantId' | 'messageId'>): string {
  return `<${createHash('sha256').update(`${tenantId}:${messageId}`).digest('hex').slice(0, 40)}@fleetgate.local>`
}

const longestWaitMs = 3_600_000

/** Twice as long after each attempt, an hour at most. */
export function retryWaitMs(attempts: number, firstMs: number): number {
  return Math.min(longestWaitMs, firstMs * 2 ** Math.min(attempts - 1, 30))
}
