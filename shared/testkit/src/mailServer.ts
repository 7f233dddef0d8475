import type { AddressInfo } from 'node:net'
import type { SMTPServerOptions } from 'smtp-server'
import { certificate, privateKey } from './mailCertificate.js'
import type { Teardown } from './teardown.js'

export interface ReceivedMail {
  from: string
  to: string[]
  /** Headers and body as they came over the wire. */
  source: string
  /** Whether the connection was encrypted. */
  isEncrypted: boolean
  username?: string | undefined
}

export interface MailServerOptions {
  /** Chosen free when absent. */
  port?: number
  /** TLS from the first byte; else STARTTLS is offered, unless `plain`. */
  secure?: boolean
  plain?: boolean
  /** Who must log in; nobody has to when absent. */
  login?: { user: string; pass: string }
  /** Reply codes to recipients, by address; asked anew each time. Nothing means accepted. */
  refuse?: (address: string) => number | undefined
}

export interface MailServer {
  port: number
  received: ReceivedMail[]
  close(): Promise<void>
}

/** What a client must trust to reach the server over TLS. */
export const mailServerCertificate = certificate

/** A real SMTP server that keeps what it is given. */
export async function startMailServer(t: Teardown, options: MailServerOptions = {}): Promise<MailServer> {
  const received: ReceivedMail[] = []
  const { SMTPServer } = await import('smtp-server')
  const server = new SMTPServer({ ...settingsOf(options), ...handlersOf(options, received) })
  // Clients that hang up are part of some tests.
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => {
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= new Promise((resolve) => server.close(() => resolve()))
    return closed
  }
  t.teardown(close)
  return { port: (server.server.address() as AddressInfo).port, received, close }
}

function settingsOf({ secure = false, plain = false, login }: MailServerOptions): SMTPServerOptions {
  const disabledCommands = [...(plain ? ['STARTTLS'] : []), ...(login ? [] : ['AUTH'])]
  return {
    secure,
    key: privateKey,
    cert: certificate,
    disabledCommands,
    authOptional: !login,
    disableReverseLookup: true,
    closeTimeout: 200
  }
}

function handlersOf({ login, refuse }: MailServerOptions, received: ReceivedMail[]): SMTPServerOptions {
  return {
    onAuth({ username, password }, _session, callback) {
      const isRight = username === login?.user && password === login?.pass
      callback(isRight ? null : new Error('wrong user name or password'), { user: username })
    },
    onRcptTo({ address }, _session, callback) {
      const code = refuse?.(address)
      callback(code ? Object.assign(new Error('not taken by the test'), { responseCode: code }) : null)
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        received.push({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map(({ address }) => address),
          source: Buffer.concat(chunks).toString(),
          isEncrypted: session.secure,
          username: typeof session.user === 'string' ? session.user : undefined
        })
        callback()
      })
    }
  }
}
