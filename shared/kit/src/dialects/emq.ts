import { type AppError, type TSchema, Type } from '@fleetgate/contracts'
import { type Found, maxPageNumber, maxPageSize, type Range } from '../reply.js'
import {
  basicOf,
  bearerOf,
  bearerSchemes,
  type Dialect,
  jsonReply,
  type WireErrors,
  type WireReply,
  wireOf
} from './dialect.js'

/** Business errors are HTTP 200 with a code; a real status only where the request never reached the business. */
const errors = {
  invalid_input: [200, 108],
  malformed_body: [200, 109],
  body_too_large: [200, 102],
  unauthenticated: [401, 103],
  token_expired: [401, 103],
  bad_credentials: [200, 103],
  forbidden: [403, 102],
  not_found: [200, 112],
  unknown_route: [404, 102],
  conflict: [200, 113],
  invalid_state: [200, 102],
  quota_exceeded: [200, 102],
  rate_limited: [429, 102],
  unsupported: [200, 102],
  unavailable: [503, 101],
  timeout: [504, 101],
  internal: [500, 102]
} satisfies WireErrors

const missingParameter = 107

/** 401 and 404 have no body there, and 401 names the realm. */
function emptyReply(status: number): WireReply {
  const headers: Record<string, string> = { 'content-type': 'text/plain' }
  if (status === 401) headers['www-authenticate'] = 'Basic realm="emqx control center"'
  return { status, headers, body: '' }
}

function isMissingField(error: AppError): boolean {
  const { reason, wireCode } = error.details
  return (
    error.code === 'invalid_input' &&
    wireCode === undefined &&
    typeof reason === 'string' &&
    reason.startsWith('must have required property')
  )
}

export const emq: Dialect = {
  name: 'emq',
  title: 'MQTT broker API (EMQ REST v2)',
  errors,
  anyContentType: true,
  envelope(data, _requestId, { bare }) {
    return bare ? data : { code: 0, result: data === undefined ? [] : data }
  },
  error(error) {
    const [status, code] = wireOf(errors, error)
    if (status === 401 || error.code === 'unknown_route') return emptyReply(status)
    return jsonReply(status, { code: isMissingField(error) ? missingParameter : code, message: error.message })
  },
  credentials(request) {
    return bearerOf(request) ?? basicOf(request)
  },
  envelopeSchema(reply, { bare }) {
    if (bare) return reply
    const result = reply ?? { type: 'array', maxItems: 0 }
    return { type: 'object', required: ['code', 'result'], properties: { code: { const: 0 }, result } }
  },
  errorSchema: {
    type: 'object',
    required: ['code'],
    properties: { code: { type: 'integer', minimum: 101 }, message: { type: 'string' } }
  },
  securitySchemes: { basic: { type: 'http', scheme: 'basic' }, ...bearerSchemes }
}

/** Query of a page: spread into the query's `Type.Object`. */
export const emqPaging = {
  curr_page: Type.Integer({ minimum: 1, maximum: maxPageNumber, default: 1 }),
  page_size: Type.Integer({ minimum: 1, default: 20 })
}

interface EmqPaging {
  curr_page: number
  page_size: number
}

export function emqRange({ curr_page, page_size }: EmqPaging): Range {
  const limit = Math.min(page_size, maxPageSize)
  return { offset: (curr_page - 1) * limit, limit }
}

/** Schema of a page of items. */
export function EmqPage<S extends TSchema>(item: S) {
  return Type.Object({
    current_page: Type.Integer(),
    page_size: Type.Integer(),
    total_num: Type.Integer(),
    total_page: Type.Integer(),
    objects: Type.Array(item)
  })
}

export function toEmqPage<T>(asked: EmqPaging, found: Found<T>) {
  const pageSize = Math.min(asked.page_size, maxPageSize)
  return {
    current_page: asked.curr_page,
    page_size: pageSize,
    total_num: found.total,
    total_page: Math.ceil(found.total / pageSize),
    objects: found.items
  }
}
