import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns'
import { isIP } from 'node:net'
import { AppError } from '@fleetgate/contracts'
import type { Allowed } from './allowed.js'

const timeoutMs = 15_000
const defaultAnswerBytes = 64 * 1024
const maxRedirects = 3

export interface HttpCall {
  method: string
  url: string
  headers: Record<string, string>
  body?: string | undefined
  signal: AbortSignal
}

export interface HttpAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

/** Throws `invalid_state` with the reason where the host does not answer or, then with `isClosed` in its details, may not be reached. */
export type Http = (call: HttpCall) => Promise<HttpAnswer>

type LookupDone = (error: Error | null, address: string | LookupAddress[], family?: number) => void
export type Lookup = (host: string, options: LookupOptions, done: LookupDone) => void

export interface HttpOptions {
  allowed: Allowed
  /** The setting that opens more addresses, for the reason. */
  setting: string
  /** Names to addresses; the system's own where none is given. */
  lookup?: Lookup
  /** Bytes of the largest answer, default 64 KB. */
  maxAnswerBytes?: number
}

/**
 * Calls what is outside. The addresses that a connection is made to are the ones that are looked at, so a name that changes what
 * it resolves to gains nothing; each redirect is a new call under the same rule.
 */
export function createHttp({
  allowed,
  setting,
  lookup = systemLookup as Lookup,
  maxAnswerBytes = defaultAnswerBytes
}: HttpOptions): {
  http: Http
  close(): Promise<void>
} {
  const rule = { allowed, setting }
  let opened: ReturnType<typeof openClient> | undefined

  async function once(call: HttpCall, url: URL): Promise<HttpAnswer> {
    const { method, headers, body, signal } = call
    opened ??= openClient(guarded(rule, lookup), maxAnswerBytes)
    const { request, agent } = await opened
    const reply = await request(url, {
      method: method as 'GET',
      headers,
      body: body ?? null,
      signal,
      dispatcher: agent
    })
    return { status: reply.statusCode, headers: flat(reply.headers), body: await reply.body.text() }
  }

  return {
    async http(call) {
      let url = checkedUrl(call.url, rule)
      let current = call
      for (let i = 0; ; i++) {
        const answer = await once(current, url).catch((error) => asReason(error, maxAnswerBytes))
        const next = isRedirect(answer.status) ? answer.headers.location : undefined
        if (next === undefined) return answer
        if (i === maxRedirects) throw failed(`more than ${maxRedirects} redirects`)
        const target = checkedUrl(next, rule, url)
        current = redirected(current, answer.status, target.origin === url.origin)
        url = target
      }
    },
    close: async () => void (await (await opened)?.agent.destroy())
  }
}

/** Loaded by the first call: the client is a tenth of what a process loads at its start, and many never call anybody. */
async function openClient(lookup: Lookup, maxAnswerBytes: number) {
  const { Agent, request } = await import('undici')
  const agent = new Agent({
    connect: { timeout: timeoutMs, lookup },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: maxAnswerBytes,
    keepAliveTimeout: 1000
  })
  return { request, agent }
}

type Rule = Pick<HttpOptions, 'allowed' | 'setting'>

function checkedUrl(text: string, { allowed, setting }: Rule, base?: URL): URL {
  if (!URL.canParse(text, base?.href)) throw failed('url is not a URL')
  const url = new URL(text, base?.href)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw failed('url must begin with http:// or https://')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  // A literal address is never looked up.
  if (isIP(host) !== 0 && !allowed.address(host)) throw closed(host, setting)
  return url
}

function guarded({ allowed, setting }: Rule, lookup: Lookup): Lookup {
  return (host, options, done) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error) return done(error, '')
      const addresses = found as LookupAddress[]
      const isOpen = allowed.host(host) || addresses.every(({ address }) => allowed.address(address))
      const [first] = addresses
      if (!isOpen || !first) return done(closed(host, setting), '')
      if (options.all) done(null, addresses)
      else done(null, first.address, first.family)
    })
  }
}

/** What is only for the first host does not go on to another; other methods than GET end with 307 and 308. */
function redirected(call: HttpCall, status: number, isSameOrigin: boolean): HttpCall {
  const own = Object.entries(call.headers).filter(
    ([name]) =>
      isSameOrigin || !['authorization', 'cookie', 'proxy-authorization', 'x-auth-token'].includes(name.toLowerCase())
  )
  const headers = Object.fromEntries(own)
  if (status === 307 || status === 308 || call.method === 'GET') return { ...call, headers }
  delete headers['content-type']
  return { ...call, headers, method: 'GET', body: undefined }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status)
}

function flat(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value ?? ''].flat().join(', ')]))
}

function asReason(error: unknown, maxAnswerBytes: number): never {
  if (error instanceof AppError) throw error
  const { code = '', message } = error as NodeJS.ErrnoException
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') throw failed(`the answer is larger than ${maxAnswerBytes} bytes`)
  throw failed(`the host did not answer: ${(code || message).slice(0, 200)}`)
}

/** Final, other than a host that does not answer. */
function closed(host: string, setting: string): AppError {
  return failed(`${host} may not be called from here: its address is not a public one (${setting})`, { isClosed: true })
}

function failed(reason: string, details: { isClosed?: true } = {}): AppError {
  return new AppError('invalid_state', reason, details)
}
