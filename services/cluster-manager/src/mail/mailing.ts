import { type Bus, type Log, sendMail } from '@fleetgate/kit'
import type { Secrets, Store } from '@fleetgate/store'
import type { Config } from '../config.js'
import { createSmtp } from '../smtp/smtp.js'
import { createSmtpStore } from '../smtp/smtpStore.js'
import { createMails } from './mail.js'
import { createMailStore } from './mailStore.js'
import { createSender } from './sender.js'

export interface MailingDeps {
  store: Store
  secrets: Secrets
  bus: Bus
  log: Log
  config: Config
  now: () => number
}

const hourMs = 3_600_000

/** SMTP servers, the queue of mails and who sends them. Nothing runs before `start`, which answers how to end it. */
export function createMailing({ store, secrets, bus, log, config, now }: MailingDeps) {
  const mailStore = createMailStore(store, { bus, log, keepMs: config.MAIL_KEEP_DAYS * 24 * hourMs })
  const smtp = createSmtp({
    store: createSmtpStore(store),
    secrets,
    now,
    async onChanged(tenantId) {
      await mailStore.wake(tenantId, now())
      sender.nudge()
    }
  })
  const sender = createSender({
    store: mailStore,
    smtp,
    log,
    now,
    settings: {
      timeoutMs: config.MAIL_TIMEOUT_MS,
      retryMs: config.MAIL_RETRY_MS,
      maxAttempts: config.MAIL_MAX_ATTEMPTS,
      giveUpMs: config.MAIL_GIVE_UP_HOURS * hourMs,
      sweepMs: config.MAIL_SWEEP_MS
    }
  })
  const mails = createMails({ store: mailStore, now, onKept: sender.nudge })
  return {
    smtp,
    mails,
    async start(): Promise<() => Promise<void>> {
      const serving = await bus.serve(sendMail, mails.keep)
      sender.start()
      return async () => {
        await serving.stop()
        await sender.stop()
      }
    }
  }
}
