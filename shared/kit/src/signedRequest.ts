import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { AppError } from '@fleetgate/contracts'
import { takeBody } from './body.js'

/** What the scheme calls itself; it opens the header and the text that is signed. */
export const signatureScheme = 'SDK-HMAC-SHA256'
/** Bytes of a body that is signed: it is read before anything is known of who sent it. */
export const signedBodyLimit = 64 * 1024
/** How far the date of a request may be from our clock. */
const windowMs = 15 * 60_000

/** A request that says it was signed with an access key: AK/SK, the scheme of Huawei Cloud's API gateway. */
export interface SignedRequest {
  readonly accessKey: string
  /** 64 hex digits. */
  readonly signature: string
  /** `X-Sdk-Date`: 20260131T235959Z. */
  readonly date: string
  readonly signedHeaders: readonly string[]
  readonly method: string
  /** As it was sent, with its query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Reads the body, `signedBodyLimit` bytes at most. */
  body(): Promise<Buffer>
}

const form =
  /^SDK-HMAC-SHA256 +Access=([^\s,]{1,64}) *, *SignedHeaders=([a-z0-9;_-]{1,2048}) *, *Signature=([0-9a-f]{64})$/i
const dateForm = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

/** The claim in a request's `Authorization`, or nothing where it is of another scheme. A broken one throws `unauthenticated`. */
export function signedOf(request: IncomingMessage): SignedRequest | undefined {
  const { headers, method = '' } = request
  const { authorization } = headers
  if (!authorization?.startsWith(signatureScheme)) return undefined
  const [, accessKey = '', names = '', signature = ''] = form.exec(authorization) ?? []
  const date = headers['x-sdk-date']
  if (accessKey === '' || typeof date !== 'string') {
    throw badSignature('Authorization or X-Sdk-Date is not of the form that SDK-HMAC-SHA256 asks for')
  }
  const signedHeaders = names.toLowerCase().split(';')
  // What is not signed could be another's: the date would make a request last for ever, the host take it elsewhere.
  if (!signedHeaders.includes('x-sdk-date') || !signedHeaders.includes('host')) {
    throw badSignature('host and x-sdk-date must be among the signed headers')
  }
  const url = (request as { originalUrl?: string }).originalUrl ?? request.url ?? '/'
  const body = () => takeBody(request, signedBodyLimit)
  return { accessKey, signature: signature.toLowerCase(), date, signedHeaders, method, url, headers, body }
}

/** Throws `unauthenticated` for a request whose date is too far from now (epoch ms). */
export function checkSignedDate({ date }: SignedRequest, now: number): void {
  const [, year, month, day, hour, minute, second] = (dateForm.exec(date) ?? []).map(Number)
  const at = Date.UTC(year ?? Number.NaN, (month ?? 0) - 1, day, hour, minute, second)
  if (!(Math.abs(now - at) <= windowMs)) {
    throw badSignature('X-Sdk-Date must be within 15 minutes of the time here, as 20260131T235959Z in UTC')
  }
}

/**
 * The texts of which one was signed. There are two where the path holds percent signs: some clients sign the path as it is
 * sent, escaped once more, others the one that it means. Throws `unauthenticated` where the body is not the one named.
 */
export function textsToSign(request: SignedRequest, body: Buffer): string[] {
  const bodyHash = sha256(body)
  const named = request.headers['x-sdk-content-sha256']
  if (named !== undefined && named !== bodyHash) throw badSignature('X-Sdk-Content-Sha256 is not that of the body')
  const { method, date, headers, signedHeaders, url } = request
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const rest = [
    canonicalQuery(mark < 0 ? '' : url.slice(mark + 1)),
    signedHeaders.map((name) => `${name}:${textOf(headers[name])}\n`).join(''),
    signedHeaders.join(';'),
    bodyHash
  ]
  const paths = new Set([canonicalPath(path, unescaped), canonicalPath(path, (segment) => segment)])
  return [...paths].map((one) => [signatureScheme, date, sha256([method, one, ...rest].join('\n'))].join('\n'))
}

/** Told with the API gateway's own code; unknown, inactive and wrong keys read the same. */
export function badSignature(message: string): AppError {
  return new AppError('unauthenticated', message, { reason: badSignatureReason })
}

export const badSignatureReason = 'bad_signature'

/** Each segment escaped anew; it always ends with a slash. */
function canonicalPath(path: string, read: (segment: string) => string): string {
  const segments = path.split('/').map((segment) => escaped(read(segment)))
  const joined = segments.join('/')
  return joined.endsWith('/') ? joined : `${joined}/`
}

/** Sorted by name and then by value, as they are before they are escaped. */
function canonicalQuery(query: string): string {
  const pairs = query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const [name = '', ...value] = part.split('=')
      return [name, value.join('=')].map((text) => unescaped(text.replaceAll('+', ' '))) as [string, string]
    })
  const order = ([a, x]: [string, string], [b, y]: [string, string]) => compare(a, b) || compare(x, y)
  return pairs
    .sort(order)
    .map((pair) => pair.map(escaped).join('='))
    .join('&')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function textOf(value: string | string[] | undefined): string {
  return [value ?? ''].flat().join(', ').trim()
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    if (cause instanceof URIError) return text
    throw cause
  }
}

/** RFC 3986: all but letters, digits, `-`, `_`, `.` and `~`. */
function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function sha256(of: string | Buffer): string {
  return createHash('sha256').update(of).digest('hex')
}
