import type { IncomingMessage } from 'node:http'
import { parse as parseForm } from 'node:querystring'
import { AppError } from '@fleetgate/contracts'

export interface BodyOptions {
  /** Bytes. */
  limit: number
  /** application/x-www-form-urlencoded is welcome too. */
  form: boolean
  /** Read as JSON whatever the content type says. */
  anyContentType: boolean
}

/** `details.reason` where a body is needed and none came. */
export const emptyBodyReason = 'empty_body'
export const defaultBodyLimit = 1024 * 1024
const maxDepth = 100
const decoder = new TextDecoder('utf-8', { fatal: true })
/** `__proto__` as a key, also where its letters are escaped. */
const protoKey =
  /"(?:_|\\u005[fF]){2}(?:p|\\u0070)(?:r|\\u0072)(?:o|\\u006[fF])(?:t|\\u0074)(?:o|\\u006[fF])(?:_|\\u005[fF]){2}"\s*:/

/** Reads and parses a request's body; nothing where there is none. */
export async function readBody(request: IncomingMessage, options: BodyOptions): Promise<unknown> {
  if (isEmpty(request)) return undefined
  const kind = kindOf(request, options)
  const bytes = await (takenBody(request, options.limit) ?? readBytes(request, options.limit))
  if (bytes.length === 0) return undefined
  const text = decode(bytes)
  return kind === 'form' ? parseForm(text) : parseJson(text)
}

const taken = new WeakMap<IncomingMessage, Promise<Buffer>>()

/** The whole body as bytes, for who must know it before it is parsed; `readBody` and `takenBody` give the same later. */
export function takeBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const known = takenBody(request, limit)
  if (known) return known
  const bytes = isEmpty(request) ? Promise.resolve(Buffer.alloc(0)) : readBytes(request, limit)
  taken.set(request, bytes)
  return bytes
}

/** The body as text, whatever its content type; throws `malformed_body` where it is not UTF-8. */
export async function readText(request: IncomingMessage, limit = defaultBodyLimit): Promise<string> {
  return decode(await takeBody(request, limit))
}

/** A body that was taken before, or nothing where it was not. */
export function takenBody(request: IncomingMessage, limit = Number.POSITIVE_INFINITY): Promise<Buffer> | undefined {
  return taken.get(request)?.then((bytes) => (bytes.length > limit ? Promise.reject(tooLarge(limit)) : bytes))
}

function isEmpty({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0
}

function kindOf({ headers }: IncomingMessage, { form, anyContentType }: BodyOptions): 'json' | 'form' {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').toLowerCase().split(';')
  const charset = parameters.join(';').match(/charset="?([^\s";]+)/)?.[1] ?? 'utf-8'
  if (charset !== 'utf-8' && charset !== 'utf8' && charset !== 'us-ascii') throw malformed('body must be in UTF-8')
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw malformed(`content encoding ${encoding} is not supported`)
  const name = type.trim()
  if (form && name === 'application/x-www-form-urlencoded') return 'form'
  if (anyContentType || name === '' || /^(application|text)\/(.+\+)?json$/.test(name)) return 'json'
  throw malformed('content type must be application/json')
}

function readBytes(request: IncomingMessage, limit: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return Promise.reject(tooLarge(limit))
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) chunks.push(chunk)
      // The rest is read and dropped, so that the client gets to read the answer.
      else reject(tooLarge(limit))
    })
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)))
    request.on('error', (cause) => reject(malformed('body was cut off', cause)))
    request.on('close', () => reject(malformed('body was cut off')))
  })
}

function decode(bytes: Buffer): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw malformed('body must be in UTF-8', cause)
  }
}

function parseJson(text: string): unknown {
  let value: unknown
  try {
    value = protoKey.test(text) ? JSON.parse(text, withoutProto) : JSON.parse(text)
  } catch (cause) {
    throw malformed('body is not valid JSON', cause)
  }
  if (isDeeperThan(value, maxDepth)) throw malformed(`body is nested more than ${maxDepth} levels deep`)
  return value
}

function withoutProto(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  if (Array.isArray(value)) return value.some((item) => isDeeperThan(item, levels - 1))
  for (const key in value) if (isDeeperThan((value as Record<string, unknown>)[key], levels - 1)) return true
  return false
}

function malformed(message: string, cause?: unknown): AppError {
  return new AppError('malformed_body', message, { field: 'body' }, { cause })
}

function tooLarge(limit: number): AppError {
  return new AppError('body_too_large', `body is larger than ${limit} bytes`, { field: 'body', limit })
}
