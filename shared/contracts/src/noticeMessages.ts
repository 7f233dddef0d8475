import { EpochMs, TenantId } from './ids.js'
import type { EventContract, RpcContract } from './messages.js'
import { EmailAddress } from './peopleMessages.js'
import { oneOf, Type } from './schema.js'

export const alertKinds = ['JOB_FAILED', 'CLIENT_OFFLINE'] as const
export type AlertKind = (typeof alertKinds)[number]

const About = {
  tenantId: TenantId,
  alertId: Type.String(),
  kind: oneOf(alertKinds),
  subjectId: Type.Integer({ description: 'number of the job or client' })
}

export const alertRaised = {
  subject: 'scheduler.alert.raised',
  summary: 'Something happened that a person should look at: a run failed, a machine is away for too long',
  data: Type.Object({ ...About, message: Type.String(), raisedAt: EpochMs })
} satisfies EventContract

export const alertClosed = {
  subject: 'scheduler.alert.closed',
  summary: 'The alert is over: the job succeeded, the machine is back, or a person closed it',
  data: Type.Object({ ...About, closedAt: EpochMs })
} satisfies EventContract

/** One line: a line break here would begin another header. */
const Subject = Type.String({ minLength: 1, maxLength: 200, pattern: '^[^\\p{Cc}\\u2028\\u2029]+$' })
const MessageId = Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9._:-]+$' })

/** Names of machines and clusters are free text: a line break in one must not begin a header. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}

/** As `sendMail` takes it. */
export function mailSubject(what: string): string {
  return `[Fleetgate] ${oneLine(what)}`.slice(0, 200).trimEnd()
}

/** How many addresses one mail may have. */
export const maxRecipients = 20
export const Recipients = Type.Array(EmailAddress, { minItems: 1, maxItems: maxRecipients })

export const sendMail = {
  operation: 'cluster-manager.sendMail',
  summary: 'Keeps a mail and answers at once; it is sent later through the SMTP server of the tenant',
  request: Type.Object({
    tenantId: TenantId,
    messageId: MessageId,
    to: Recipients,
    subject: Subject,
    text: Type.String({ maxLength: 100_000 })
  }),
  reply: Type.Object({ isNew: Type.Boolean({ description: 'false where this messageId was kept before' }) }),
  timeoutMs: 5000
} satisfies RpcContract

export const mailFailed = {
  subject: 'cluster-manager.mail.failed',
  summary: 'A mail was given up: it was refused, or could not be sent for too long',
  data: Type.Object({ tenantId: TenantId, messageId: Type.String(), reason: Type.String(), failedAt: EpochMs })
} satisfies EventContract
