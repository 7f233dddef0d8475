import type { IncomingMessage } from 'node:http'
import type { AppError, DialectName, ErrorCode } from '@fleetgate/contracts'
import type { EnvelopeOptions } from '../route.js'
import { type SignedRequest, signedOf } from '../signedRequest.js'

export type Credentials =
  | { bearer: string }
  | { basic: { username: string; password: string } }
  | { signed: SignedRequest }

/** How one error code looks on the wire. */
export type WireError = readonly [status: number, code: string | number]
export type WireErrors = Record<ErrorCode, WireError>

export interface WireReply {
  status: number
  headers: Record<string, string>
  body: string
}

/** A JSON Schema as it is printed in the API reference. */
export type JsonSchema = Record<string, unknown>

/** The edge of one legacy API: envelope, error form and token style, and nothing else. */
export interface Dialect {
  readonly name: DialectName
  readonly title: string
  readonly errors: WireErrors
  /** Bodies are read as JSON whatever their content type says, as the original did. */
  readonly anyContentType?: boolean
  /** A route with a body refuses a request without one (`emptyBodyReason`); elsewhere that counts as `{}`. */
  readonly needsBody?: boolean
  /** A known path asked with an unknown method is `unsupported`; elsewhere it is as unknown as any other. */
  readonly tellsMethods?: boolean
  /** The value to print as JSON; `undefined` means an empty answer. */
  envelope(data: unknown, requestId: string, options: EnvelopeOptions): unknown
  error(error: AppError, requestId: string): WireReply
  credentials(request: IncomingMessage): Credentials | undefined
  /** The envelope around a reply's schema, and the error form, for the API reference. */
  envelopeSchema(reply: JsonSchema | undefined, options: EnvelopeOptions): JsonSchema | undefined
  readonly errorSchema: JsonSchema
  readonly securitySchemes: Record<string, JsonSchema>
}

const jsonHeaders = { 'content-type': 'application/json; charset=utf-8' }

export function jsonReply(status: number, body: unknown): WireReply {
  const headers = status === 401 ? { ...jsonHeaders, 'www-authenticate': 'Bearer' } : jsonHeaders
  return { status, headers, body: JSON.stringify(body) }
}

/**
 * Status and code of an error. A dialect file of a service may pick another legacy code for one case with
 * `details.wireCode` and `details.wireStatus`.
 */
export function wireOf(errors: WireErrors, error: AppError): WireError {
  const [status, code] = errors[error.code]
  const { wireStatus, wireCode } = error.details
  return [
    typeof wireStatus === 'number' ? wireStatus : status,
    typeof wireCode === 'string' || typeof wireCode === 'number' ? wireCode : code
  ]
}

/** `Authorization: Bearer` or `X-Auth-Token`: every dialect takes both. */
export function bearerOf(request: IncomingMessage): Credentials | undefined {
  const header = request.headers.authorization
  if (header && /^bearer /i.test(header)) return { bearer: header.slice(7).trim() }
  const token = request.headers['x-auth-token']
  return typeof token === 'string' && token !== '' ? { bearer: token } : undefined
}

/** A token, or a signature made with an access key (AK/SK). */
export function bearerOrSigned(request: IncomingMessage): Credentials | undefined {
  const token = bearerOf(request)
  if (token) return token
  const signed = signedOf(request)
  return signed && { signed }
}

export function basicOf(request: IncomingMessage): Credentials | undefined {
  const header = request.headers.authorization
  if (!header || !/^basic /i.test(header)) return undefined
  const text = Buffer.from(header.slice(6).trim(), 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0) return undefined
  return { basic: { username: text.slice(0, colon), password: text.slice(colon + 1) } }
}

/**
 * Credentials of a websocket handshake: browsers cannot set headers there, so `?Authorization=` counts too, with or
 * without the word Bearer before the token.
 */
export function websocketCredentials(request: IncomingMessage): Credentials | undefined {
  const fromHeader = bearerOf(request)
  if (fromHeader) return fromHeader
  const query = request.url?.split('?')[1]
  const value = new URLSearchParams(query).get('Authorization')
  return value ? { bearer: value.replace(/^bearer /i, '').trim() } : undefined
}

/** OpenAPI has no word for it: the whole `Authorization` header is the credential. */
export const signedScheme: Record<string, JsonSchema> = {
  accessKey: {
    type: 'apiKey',
    in: 'header',
    name: 'Authorization',
    description: 'SDK-HMAC-SHA256 (AK/SK) with X-Sdk-Date, made with an access key'
  }
}

export const bearerSchemes: Record<string, JsonSchema> = {
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
  authToken: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' }
}
