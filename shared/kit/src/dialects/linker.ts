import { Type } from '@fleetgate/contracts'
import { Counted, type Found, linkerList, maxPageNumber, maxPageSize, type Range } from '../reply.js'
import { bearerOf, bearerSchemes, type Dialect, jsonReply, type WireErrors, wireOf } from './dialect.js'

/** Common codes are E12002 invalid, E12003 internal, E12004 unauthorised; a resource picks its own by `wireCode`. */
const errors = {
  invalid_input: [400, 'E12002'],
  malformed_body: [400, 'E12002'],
  body_too_large: [413, 'E12002'],
  unauthenticated: [401, 'E12004'],
  token_expired: [401, 'E12004'],
  bad_credentials: [401, 'E12004'],
  forbidden: [403, 'E12004'],
  not_found: [404, 'E50004'],
  unknown_route: [404, 'E12002'],
  conflict: [409, 'E50003'],
  invalid_state: [409, 'E50016'],
  quota_exceeded: [409, 'E12002'],
  rate_limited: [429, 'E12002'],
  unsupported: [400, 'E12002'],
  unavailable: [503, 'E12003'],
  timeout: [504, 'E12003'],
  internal: [500, 'E12003']
} satisfies WireErrors

export const linker: Dialect = {
  name: 'linker',
  title: 'Cluster API (Linker)',
  errors,
  envelope(data, _requestId, { bare }) {
    if (bare) return data
    if (data instanceof Counted) return { success: true, count: data.count, data: data.data }
    return { success: true, data }
  },
  error(error) {
    const [status, code] = wireOf(errors, error)
    return jsonReply(status, { success: false, error: { code, message: error.message } })
  },
  credentials: bearerOf,
  envelopeSchema(reply, { bare }) {
    if (bare) return reply
    const properties = { success: { const: true }, count: { type: 'integer' }, ...(reply ? { data: reply } : {}) }
    return { type: 'object', required: ['success'], properties }
  },
  errorSchema: {
    type: 'object',
    required: ['success', 'error'],
    properties: {
      success: { const: false },
      error: {
        type: 'object',
        required: ['code', 'message'],
        properties: { code: { type: 'string' }, message: { type: 'string' } }
      }
    }
  },
  securitySchemes: bearerSchemes
}

/** Query of a list: spread into the query's `Type.Object`. No limit, or 0, means as many as a page may hold. */
export const linkerPaging = {
  skip: Type.Integer({ minimum: 0, maximum: maxPageNumber, default: 0 }),
  limit: Type.Integer({ minimum: 0, default: 0 }),
  count: Type.Boolean({ default: false })
}

interface LinkerPaging {
  skip: number
  limit: number
}

export function linkerRange({ skip, limit }: LinkerPaging): Range {
  return { offset: skip, limit: limit === 0 ? maxPageSize : Math.min(limit, maxPageSize) }
}

/** The list with its total where it was asked for. The reply's schema is that of the array. */
export function toLinkerPage<T>(asked: { count: boolean }, found: Found<T>): Counted<T[]> {
  return linkerList(found.items, asked.count ? found.total : undefined)
}
