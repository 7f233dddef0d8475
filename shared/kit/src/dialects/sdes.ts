import { type TSchema, Type } from '@fleetgate/contracts'
import { type Found, maxPageNumber, maxPageSize, type Range } from '../reply.js'
import { bearerOf, bearerSchemes, type Dialect, jsonReply, type WireErrors, wireOf } from './dialect.js'

/** The document shows no failure; `{code:'SUCCESS'}` is its word for success, so a failure has its own code there. */
const errors = {
  invalid_input: [400, 'INVALID_INPUT'],
  malformed_body: [400, 'MALFORMED_BODY'],
  body_too_large: [413, 'BODY_TOO_LARGE'],
  unauthenticated: [401, 'UNAUTHENTICATED'],
  token_expired: [401, 'TOKEN_EXPIRED'],
  bad_credentials: [401, 'BAD_CREDENTIALS'],
  forbidden: [403, 'FORBIDDEN'],
  not_found: [404, 'NOT_FOUND'],
  unknown_route: [404, 'UNKNOWN_ROUTE'],
  conflict: [409, 'CONFLICT'],
  invalid_state: [409, 'INVALID_STATE'],
  quota_exceeded: [409, 'QUOTA_EXCEEDED'],
  rate_limited: [429, 'RATE_LIMITED'],
  unsupported: [400, 'UNSUPPORTED'],
  unavailable: [503, 'UNAVAILABLE'],
  timeout: [504, 'TIMEOUT'],
  internal: [500, 'INTERNAL']
} satisfies WireErrors

export const sdes: Dialect = {
  name: 'sdes',
  title: 'Fleet jobs API (emqx-sdes)',
  errors,
  envelope(data, _requestId, { wrapped }) {
    return wrapped ? { code: 'SUCCESS', data } : data
  },
  error(error) {
    const [status, code] = wireOf(errors, error)
    const { field } = error.details
    return jsonReply(status, { code, message: error.message, ...(field ? { field } : {}) })
  },
  credentials: bearerOf,
  envelopeSchema(reply, { wrapped }) {
    if (!wrapped) return reply
    return {
      type: 'object',
      required: ['code'],
      properties: { code: { const: 'SUCCESS' }, ...(reply ? { data: reply } : {}) }
    }
  },
  errorSchema: {
    type: 'object',
    required: ['code', 'message'],
    properties: { code: { type: 'string' }, message: { type: 'string' }, field: { type: 'string' } }
  },
  securitySchemes: bearerSchemes
}

/** Query of a page: spread into the query's `Type.Object`. */
export const sdesPaging = {
  pageNo: Type.Integer({ minimum: 1, maximum: maxPageNumber, default: 1 }),
  pageSize: Type.Integer({ minimum: 1, default: 10 })
}

interface SdesPaging {
  pageNo: number
  pageSize: number
}

export function sdesRange({ pageNo, pageSize }: SdesPaging): Range {
  const limit = Math.min(pageSize, maxPageSize)
  return { offset: (pageNo - 1) * limit, limit }
}

/** Schema of a page of items. */
export function SdesPage<S extends TSchema>(item: S) {
  return Type.Object({ total: Type.Integer(), list: Type.Array(item) })
}

export function toSdesPage<T>(found: Found<T>) {
  return { total: found.total, list: found.items }
}
