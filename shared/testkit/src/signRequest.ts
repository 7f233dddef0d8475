import { createHash, createHmac } from 'node:crypto'

export interface KeyPair {
  accessKey: string
  secret: string
}

export interface Signable {
  method: string
  /** With its query, escaped as it will be sent. */
  url: URL
  headers?: Record<string, string>
  body?: string | Uint8Array | undefined
  /** Epoch ms, default now. */
  at?: number
}

/**
 * The headers that sign a request with an access key (SDK-HMAC-SHA256), as the client libraries of DMS do: `host` and those
 * given are signed. It shares nothing with the code that checks signatures.
 */
export function signRequest({ accessKey, secret }: KeyPair, request: Signable): Record<string, string> {
  const date = new Date(request.at ?? Date.now()).toISOString().replace(/[-:]|\.\d+/g, '')
  const given = { host: request.url.host, 'x-sdk-date': date, ...request.headers }
  const headers = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value] as const)
  headers.sort(([a], [b]) => (a < b ? -1 : 1))
  const names = headers.map(([name]) => name).join(';')
  const canonical = [
    request.method,
    pathOf(request.url),
    queryOf(request.url),
    ...headers.map(([name, value]) => `${name}:${value}`),
    '',
    names,
    sha256(request.body ?? '')
  ]
  const text = ['SDK-HMAC-SHA256', date, sha256(canonical.join('\n'))].join('\n')
  const signature = createHmac('sha256', secret).update(text).digest('hex')
  const authorization = `SDK-HMAC-SHA256 Access=${accessKey}, SignedHeaders=${names}, Signature=${signature}`
  return { ...request.headers, 'x-sdk-date': date, authorization }
}

function pathOf({ pathname }: URL): string {
  const path = pathname.split('/').map((segment) => escaped(decodeURIComponent(segment)))
  return `${path.join('/')}/`.replace(/\/\/$/, '/')
}

function queryOf({ searchParams }: URL): string {
  const pairs = [...searchParams].sort(([a, x], [b, y]) => (`${a}\n${x}` < `${b}\n${y}` ? -1 : 1))
  return pairs.map(([name, value]) => `${escaped(name)}=${escaped(value)}`).join('&')
}

function escaped(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => String.fromCharCode(byte))
    .map((char) => (/[\w.~-]/.test(char) ? char : `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`))
    .join('')
}

function sha256(of: string | Uint8Array): string {
  return createHash('sha256').update(of).digest('hex')
}
