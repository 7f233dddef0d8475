import type { OpenedServer } from '../smtp/smtp.js'
import { type Mail, messageIdHeader, type Refusal } from './mail.js'
import type { Attempted } from './mailStore.js'

export interface SendOptions {
  server: OpenedServer
  mail: Mail
  timeoutMs: number
  /** Gives the attempt up. */
  signal: AbortSignal
}

/** What nodemailer tells of a failure, as far as it is used. */
interface SmtpError {
  message: string
  code?: string | undefined
  command?: string | undefined
  response?: string | undefined
  responseCode?: number | undefined
  permanent?: boolean | undefined
  recipient?: string | undefined
  rejectedErrors?: SmtpError[] | undefined
}

/** One attempt. Never rejects: who is still open, who refused for good, and why, is the answer. */
export async function sendThrough({ server, mail, timeoutMs, signal }: SendOptions): Promise<Attempted> {
  const { password } = server
  // Loaded by the first mail: a tenth of what the process loads at its start.
  const { createTransport } = await import('nodemailer')
  const transport = createTransport({
    host: server.address,
    port: server.port,
    secure: server.security === 'tls',
    requireTLS: server.security === 'starttls',
    ignoreTLS: server.security === 'none',
    ...(password ? { auth: { user: server.name, pass: password } } : {}),
    ...(server.caCert ? { tls: { ca: [server.caCert] } } : {}),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    dnsTimeout: timeoutMs
  })
  try {
    const { rejectedErrors } = await transport.sendMail({ ...toMessage(mail, server.from), signal })
    return outcome(mail, { rejected: (rejectedErrors ?? []) as SmtpError[], password })
  } catch (thrown) {
    const error = thrown as SmtpError
    if (error.rejectedErrors?.length) return outcome(mail, { rejected: error.rejectedErrors, password, isAll: true })
    const reason = describe(error, password)
    if (!isRefusal(error)) return { open: mail.open, refused: mail.refused, reason }
    return { open: [], refused: [...mail.refused, ...mail.open.map((address) => ({ address, reason }))], reason }
  } finally {
    transport.close()
  }
}

function toMessage(mail: Mail, from: string) {
  return {
    from: { name: '', address: from },
    to: mail.open.map((address) => ({ name: '', address })),
    subject: mail.subject,
    text: mail.text,
    messageId: messageIdHeader(mail),
    date: new Date(mail.createdAt),
    // Programs that answer mails (RFC 3834) are not to answer this one.
    headers: { 'Auto-Submitted': 'auto-generated' },
    disableFileAccess: true,
    disableUrlAccess: true
  }
}

/** A 5xx to the recipients or the mail itself is final; one to the log-in or the sender ends when the settings are mended. */
function isRefusal({ code, permanent }: SmtpError): boolean {
  return permanent === true && code === 'EMESSAGE'
}

interface Rejected {
  rejected: SmtpError[]
  password: string
  /** Nobody got it. */
  isAll?: boolean
}

function outcome(mail: Mail, { rejected, password, isAll = false }: Rejected): Attempted {
  const byAddress = new Map(rejected.map((error) => [error.recipient, error]))
  const open: string[] = []
  const refused: Refusal[] = [...mail.refused]
  let reason: string | undefined
  for (const address of mail.open) {
    const error = byAddress.get(address)
    if (!error && !isAll) continue
    reason = describe(error ?? { message: 'the server took no recipient' }, password)
    if (error?.permanent) refused.push({ address, reason })
    else open.push(address)
  }
  return { open, refused, reason: reason ?? refused.at(-1)?.reason }
}

/** The words of a server may hold anything: no more than a line of them, and never what we logged in with. */
function describe(error: SmtpError, password: string): string {
  if (error.code === 'EAUTH')
    return `the server refused the log-in${error.responseCode ? ` (${error.responseCode})` : ''}`
  const words = (error.response ?? error.message).replace(/[\p{Cc}\s]+/gu, ' ')
  return (password ? words.replaceAll(password, '***') : words).slice(0, 300)
}
