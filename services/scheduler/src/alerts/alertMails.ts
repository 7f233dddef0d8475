import { AppError, type Log, mailSubject, oneLine, type Static, type sendMail } from '@fleetgate/kit'
import type { Alert } from './alert.js'
import type { AlertStore } from './alertStore.js'
import type { Digest, DigestStore, PendingMail } from './digestStore.js'

export interface AlertMailsDeps {
  alerts: AlertStore
  digests: DigestStore
  /** Whom a tenant wants told. */
  addressesOf: (tenantId: string) => Promise<string[]>
  /** Hands a mail over; the same messageId again is the same mail. */
  send: (mail: Static<typeof sendMail.request>) => Promise<void>
  log: Log
  now: () => number
  /** One mail to a tenant in this time at most. */
  everyMs: number
}

export interface AlertMails {
  /** Hands over what was decided on, then decides on what is due and hands that over. Any replica, at any time. */
  sendDue(): Promise<void>
}

const tenantsAtOnce = 100
const alertsPerMail = 500

/**
 * Each mail is decided on in one write, text and all, before it is handed over: whoever is killed in between, it goes out
 * under the same messageId, and its alerts are marked only when it was taken.
 */
export function createAlertMails(deps: AlertMailsDeps): AlertMails {
  const { alerts, digests, addressesOf, log, now, everyMs } = deps

  async function handOver(tenantId: string, pending: PendingMail): Promise<void> {
    const { alertIds, ...mail } = pending
    try {
      await deps.send({ tenantId, ...mail })
    } catch (error) {
      // What is refused now is refused for ever, and must not hold up what comes after it.
      if (!(error instanceof AppError && error.code === 'invalid_input')) throw error
      log.error({ err: error, tenantId, messageId: mail.messageId }, 'the mail of alerts was refused, dropped')
    }
    await alerts.setMailed(tenantId, alertIds)
    await digests.done(tenantId, mail.messageId)
  }

  async function decide(tenantId: string): Promise<void> {
    // Read first: a mail that another replica decides on after this makes `decide` fail.
    const digest = await digests.find(tenantId)
    if (digest.pending || digest.nextAt > now()) return
    const raised = await alerts.unmailed(tenantId, alertsPerMail)
    const to = await addressesOf(tenantId)
    if (raised.length === 0) return
    if (to.length === 0) return alerts.setMailed(tenantId, raised.map(idOf))
    const pending = mailOf(digest, raised, to)
    if (await digests.decide(digest, pending, now() + everyMs)) await handOver(tenantId, pending)
  }

  /** What fails with one tenant is tried again with the next round, and holds up no other tenant. */
  async function each(tenantIds: readonly string[], work: (tenantId: string) => Promise<void>): Promise<void> {
    for (const tenantId of tenantIds) {
      await work(tenantId).catch((error) => {
        log.warn({ tenantId, reason: (error as Error).message }, 'mail of alerts not handed over, trying again')
      })
    }
  }

  return {
    async sendDue() {
      const pending = new Map((await digests.pending(tenantsAtOnce)).map((found) => [found.tenantId, found.pending]))
      await each([...pending.keys()], async (tenantId) => {
        const mail = pending.get(tenantId)
        if (mail) await handOver(tenantId, mail)
      })
      await each(await alerts.unmailedTenants(), decide)
    }
  }
}

const idOf = ({ _id }: Alert) => _id
const linesPerMail = 100

/** One alert says all in its subject; several are counted there and listed in the text. */
export function mailOf({ tenantId, count }: Digest, raised: readonly Alert[], to: string[]): PendingMail {
  const [first] = raised
  const what = raised.length === 1 && first ? first.message : `${raised.length} alerts`
  const more = raised.length - linesPerMail
  const parts = raised.slice(0, linesPerMail).map(describe)
  if (more > 0) parts.push(`and ${more} more: GET /v1/dashboard/alerts?open=true`)
  return {
    messageId: `alerts:${tenantId}:${count + 1}`,
    to,
    subject: mailSubject(what),
    text: `${parts.join('\n\n')}\n`,
    alertIds: raised.map(idOf)
  }
}

function describe({ kind, subjectId, message, raisedAt, closedAt }: Alert): string {
  const isJob = kind === 'JOB_FAILED'
  return [
    oneLine(message).slice(0, 500),
    `${isJob ? 'job' : 'client'}: ${subjectId}`,
    `since: ${new Date(raisedAt).toISOString()}`,
    ...(closedAt === undefined ? [] : [`over since: ${new Date(closedAt).toISOString()}`]),
    `see: ${isJob ? `/v1/logs/jobs/clients?jobId=${subjectId}` : `/v1/clients/${subjectId}/details`}`
  ].join('\n')
}
