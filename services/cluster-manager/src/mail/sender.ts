import { AppError, continueOrigin, detached, type Log, withOrigin } from '@fleetgate/kit'
import type { OpenedServer, Smtp } from '../smtp/smtp.js'
import { type Mail, retryWaitMs } from './mail.js'
import type { Attempted, MailStore } from './mailStore.js'
import { sendThrough } from './transport.js'

export interface SenderSettings {
  /** How long one attempt may take; its lease is twice as long. */
  timeoutMs: number
  /** Before the second attempt; each further wait is twice as long. */
  retryMs: number
  maxAttempts: number
  /** A mail that waits for longer is given up. */
  giveUpMs: number
  sweepMs: number
}

export interface SenderDeps {
  store: MailStore
  smtp: Pick<Smtp, 'openFor'>
  log: Log
  now: () => number
  settings: SenderSettings
}

export interface Sender {
  /** There may be work. */
  nudge(): void
  start(): void
  /** Waits a little for the attempts at work, then ends them; they are made again. */
  stop(): Promise<void>
}

/** So many tenants at a time, one mail each. */
const maxAtOnce = 8
const stopGraceMs = 4_000
/** A tenant without a server is looked at again so often; a new server wakes its mails itself. */
const noServerWaitMs = 60_000

export function createSender({ store, smtp, log, now, settings }: SenderDeps): Sender {
  const atWork = new Map<string, Promise<void>>()
  const stopping = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let filling: Promise<void> | undefined
  let isWanted = false
  let isRunning = false

  function nudge(): void {
    isWanted = true
    if (!isRunning || filling) return
    filling = detached(fill)
      .catch((error) => log.warn({ err: error }, 'mails not read, trying again'))
      .finally(() => {
        filling = undefined
      })
  }

  async function fill(): Promise<void> {
    while (isWanted && isRunning) {
      isWanted = false
      while (isRunning && atWork.size < maxAtOnce) {
        const claim = { now: now(), leaseMs: 2 * settings.timeoutMs, except: [...atWork.keys()] }
        const mail = await store.claim(claim)
        if (!mail) break
        begin(mail)
      }
    }
  }

  function begin(mail: Mail): void {
    const { tenantId, messageId } = mail
    const recorded = () =>
      attempt(mail).catch((error) =>
        log.warn({ err: error, tenantId, messageId }, 'mail attempt not recorded, trying again')
      )
    const work = withOrigin(continueOrigin(mail.origin ?? {}), recorded).finally(() => {
      atWork.delete(tenantId)
      nudge()
    })
    atWork.set(tenantId, work)
  }

  async function attempt(mail: Mail): Promise<void> {
    const { tenantId, messageId, attempts, createdAt } = mail
    const server = await openFor(mail)
    const isOld = now() - createdAt > settings.giveUpMs
    if (!server) {
      const reason =
        server === undefined ? 'no SMTP server is configured' : 'the password at rest does not open: give it anew'
      const left = { ...mail, reason }
      if (isOld) return giveUp(mail, left)
      await store.putOff(mail, left, now() + noServerWaitMs, attempts - 1)
      return
    }
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(settings.timeoutMs)])
    const result = await sendThrough({ server, mail, timeoutMs: settings.timeoutMs, signal })
    if (result.open.length === 0 && result.refused.length === 0) {
      await store.sent(mail, now())
      log.info({ tenantId, messageId, attempts }, 'mail sent')
      return
    }
    if (result.open.length === 0 || isOld || attempts >= settings.maxAttempts) return giveUp(mail, result)
    await store.putOff(mail, result, now() + retryWaitMs(attempts, settings.retryMs), attempts)
    log.warn({ tenantId, messageId, attempts, reason: result.reason }, 'mail not sent, trying again')
  }

  /** Null for a server whose password does not open. */
  async function openFor({ tenantId, attempts }: Mail): Promise<OpenedServer | undefined | null> {
    return smtp.openFor(tenantId, attempts).catch((error) => {
      if (!(error instanceof AppError && error.code === 'internal')) throw error
      log.error({ err: error, tenantId }, 'the password of an SMTP server does not open')
      return null
    })
  }

  async function giveUp(mail: Mail, result: Attempted): Promise<void> {
    const { tenantId, messageId, attempts } = mail
    const isMine = await store.failed(mail, result, now())
    if (isMine) log.error({ tenantId, messageId, attempts, reason: result.reason }, 'mail given up')
  }

  return {
    nudge,

    start() {
      isRunning = true
      timer = setInterval(nudge, settings.sweepMs)
      store.outbox.start()
      nudge()
    },

    async stop() {
      isRunning = false
      clearInterval(timer)
      await filling
      const grace = setTimeout(() => stopping.abort(), stopGraceMs)
      await Promise.all(atWork.values())
      clearTimeout(grace)
      await store.outbox.stop()
    }
  }
}
