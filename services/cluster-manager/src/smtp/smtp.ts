import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { AppError, type Caller, type Found, type Range } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { newHexId } from '../linkerFields.js'
import type { SmtpFilter, SmtpStore } from './smtpStore.js'

/** `tls` from the first byte, `starttls` required after the greeting, `none` for servers that know no encryption. */
export const securities = ['tls', 'starttls', 'none'] as const
export type Security = (typeof securities)[number]

export interface SmtpServer {
  /** 24 hexadecimal digits. */
  id: string
  tenantId: string
  /** Who logs in. */
  name: string
  /** Host name or IP address. */
  address: string
  port: number
  security: Security
  /** The sender's address. */
  from: string
  /** PEM of a certificate to trust beside the public ones. */
  caCert?: string
  hasPassword: boolean
  /** Counts changes, so that two at once do not mix. */
  revision: number
  /** Epoch ms. */
  createdAt: number
  updatedAt: number
}

export interface SmtpDraft {
  name: string
  address: string
  /** Empty: the server wants no log-in. */
  password?: string | undefined
  port?: number | undefined
  security?: Security | undefined
  from?: string | undefined
  caCert?: string | undefined
}

/** How to reach a server, its password in the clear: for sending only. */
export interface OpenedServer extends SmtpServer {
  password: string
}

export interface SmtpOptions {
  store: SmtpStore
  secrets: Secrets
  now: () => number
  /** The servers of a tenant have changed. */
  onChanged: (tenantId: string) => Promise<void>
}

export type Smtp = ReturnType<typeof createSmtp>

export function createSmtp({ store, secrets, now, onChanged }: SmtpOptions) {
  async function get(id: string, { tenantId }: Pick<Caller, 'tenantId'>): Promise<SmtpServer> {
    const found = await store.find(tenantId, id)
    if (!found) throw noSuchServer()
    return found
  }

  return {
    get,

    async add(draft: SmtpDraft, { tenantId }: Caller): Promise<SmtpServer> {
      const at = now()
      const password = draft.password ?? ''
      const server: SmtpServer = {
        id: newHexId(at),
        tenantId,
        ...settingsOf(draft),
        hasPassword: password !== '',
        revision: 1,
        createdAt: at,
        updatedAt: at
      }
      await store.insert(server, seal(server.id, password))
      await onChanged(tenantId)
      return server
    },

    list: (filter: SmtpFilter, range: Range, { tenantId }: Caller): Promise<Found<SmtpServer>> =>
      store.list(tenantId, filter, range),

    /** Replaces everything; an absent password stays, but only for the same log-in at the same place. */
    async replace(id: string, draft: SmtpDraft, caller: Caller): Promise<void> {
      const before = await get(id, caller)
      const next = settingsOf(draft)
      if (draft.password === undefined && before.hasPassword && !isSamePlace(before, next)) {
        // Else whoever may edit, and may not read, could have it sent to a server of their own.
        const reason = 'passwd must be given anew when name, address, port, security or ca_cert change'
        throw new AppError('invalid_input', reason, { field: 'passwd' })
      }
      const hasPassword = draft.password === undefined ? before.hasPassword : draft.password !== ''
      const server = { ...before, ...next, hasPassword, revision: before.revision + 1, updatedAt: now() }
      const sealed = draft.password === undefined ? undefined : seal(id, draft.password)
      if (!(await store.replace(server, before.revision, sealed))) {
        await get(id, caller)
        throw new AppError('conflict', 'this server was changed a moment ago: read it again')
      }
      await onChanged(caller.tenantId)
    },

    async remove(id: string, { tenantId }: Caller): Promise<void> {
      if (!(await store.remove(tenantId, id))) throw noSuchServer()
    },

    hasServer: (tenantId: string): Promise<boolean> => store.has(tenantId),

    /** The server for the nth attempt of a mail: with several, each is tried in turn, the oldest first. */
    async openFor(tenantId: string, attempt: number): Promise<OpenedServer | undefined> {
      const servers = await store.all(tenantId)
      const chosen = servers[(attempt - 1) % servers.length]
      if (!chosen) return undefined
      const { sealed, ...server } = chosen
      return { ...server, password: sealed ? secrets.open(sealed, passwordContext(server.id)) : '' }
    }
  }

  function seal(id: string, password: string): string {
    return password === '' ? '' : secrets.seal(password, passwordContext(id))
  }
}

type Settings = Pick<SmtpServer, 'name' | 'address' | 'port' | 'security' | 'from'> & { caCert: string | undefined }

const ports: Record<Security, number> = { tls: 465, starttls: 587, none: 25 }

function settingsOf(draft: SmtpDraft): Settings {
  const { name, address, caCert } = draft
  const security = draft.security ?? securityAt(draft.port)
  if (!isHost(address)) {
    throw new AppError('invalid_input', 'address must be a host name or an IP address', { field: 'address' })
  }
  if (security === 'none' && draft.password) {
    throw new AppError('invalid_input', 'a password is not sent unencrypted: security must be tls or starttls', {
      field: 'security'
    })
  }
  if (caCert !== undefined) checkCertificate(caCert)
  return { name, address, security, port: draft.port ?? ports[security], from: draft.from ?? senderOf(draft), caCert }
}

/** Port 465 has spoken TLS from the first byte ever since (RFC 8314). */
function securityAt(port: number | undefined): Security {
  return port === ports.tls ? 'tls' : 'starttls'
}

const hostPattern = /^(?=.{1,253}$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$/
const addressPattern = /^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253}$/

function isHost(text: string): boolean {
  // Digits and dots alone are meant as an IP address.
  return isIP(text) !== 0 || (hostPattern.test(text) && !/^[\d.]+$/.test(text))
}

/** Linker had no sender: who logs in is it, with the server's name where that is no address. */
function senderOf({ name, address }: SmtpDraft): string {
  const sender = name.includes('@') ? name : `${name}@${address}`
  if (addressPattern.test(sender)) return sender
  throw new AppError('invalid_input', 'from must be given: no address can be made of name and address', {
    field: 'from'
  })
}

function checkCertificate(pem: string): void {
  try {
    new X509Certificate(pem)
  } catch (cause) {
    throw new AppError('invalid_input', 'ca_cert must be a certificate as PEM', { field: 'ca_cert' }, { cause })
  }
}

function isSamePlace(a: SmtpServer, b: Settings): boolean {
  return (['name', 'address', 'port', 'security', 'caCert'] as const).every((field) => a[field] === b[field])
}

function noSuchServer(): AppError {
  return new AppError('not_found', 'there is no such SMTP server')
}

/** What the password of a server is sealed with. */
export function passwordContext(id: string): string {
  return `smtp:${id}`
}
