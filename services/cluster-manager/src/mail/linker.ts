import { linkerPaging, linkerRange, oneOf, type Route, route, type Static, Type, toLinkerPage } from '@fleetgate/kit'
import { toTime } from '../linkerFields.js'
import { type Mail, type Mails, mailStates } from './mail.js'

const Row = Type.Object({
  message_id: Type.String(),
  to: Type.Array(Type.String()),
  subject: Type.String(),
  state: oneOf(mailStates),
  attempts: Type.Integer(),
  /** Why it waits or failed. */
  reason: Type.Optional(Type.String()),
  refused: Type.Array(Type.Object({ address: Type.String(), reason: Type.String() })),
  time_create: Type.String(),
  time_next: Type.Optional(Type.String()),
  time_sent: Type.Optional(Type.String())
})

/** A route of ours. */
export function mailRoutes(mails: Mails): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/smtp/mails',
      summary: 'Mails of the tenant and what became of them, the newest first',
      needs: 'smtp.view',
      query: Type.Object({ ...linkerPaging, state: Type.Optional(oneOf(mailStates)) }),
      reply: Type.Array(Row),
      handle: async ({ query, caller }) => {
        const found = await mails.list(query.state, linkerRange(query), caller)
        return toLinkerPage(query, { items: found.items.map(toRow), total: found.total })
      }
    })
  ]
}

function toRow(mail: Mail): Static<typeof Row> {
  const { messageId, to, subject, state, attempts, reason, refused, sentAt } = mail
  return {
    message_id: messageId,
    to,
    subject,
    state,
    attempts,
    ...(reason ? { reason } : {}),
    refused,
    time_create: toTime(mail.createdAt),
    ...(state === 'WAITING' ? { time_next: toTime(mail.nextAttemptAt) } : {}),
    ...(sentAt === undefined ? {} : { time_sent: toTime(sentAt) })
  }
}
