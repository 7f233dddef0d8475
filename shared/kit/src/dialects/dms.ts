import { type AppError, type TSchema, Type } from '@fleetgate/contracts'
import { emptyBodyReason } from '../body.js'
import { type Found, maxPageNumber, maxPageSize } from '../reply.js'
import { badSignatureReason } from '../signedRequest.js'
import {
  bearerOrSigned,
  bearerSchemes,
  type Dialect,
  jsonReply,
  signedScheme,
  type WireErrors,
  wireOf
} from './dialect.js'

/**
 * Public codes of DMS for RocketMQ. A user that is not there is HTTP 400 with DMS.00500972 (clients look for it); an
 * instance that is not there is 404 DMS.00404022, which its route asks for by `wireStatus` and `wireCode`.
 */
const errors = {
  invalid_input: [400, 'DMS.00400062'],
  malformed_body: [400, 'DMS.00400005'],
  body_too_large: [413, 'DMS.00400062'],
  unauthenticated: [401, 'DMS.10240101'],
  token_expired: [401, 'DMS.10240102'],
  bad_credentials: [401, 'DMS.10240101'],
  forbidden: [403, 'DMS.00403007'],
  not_found: [400, 'DMS.00500972'],
  unknown_route: [404, 'DMS.00404001'],
  conflict: [409, 'DMS.00400015'],
  invalid_state: [400, 'DMS.00400026'],
  quota_exceeded: [400, 'DMS.00400039'],
  rate_limited: [429, 'DMS.00400062'],
  unsupported: [405, 'DMS.00405001'],
  unavailable: [503, 'DMS.00500000'],
  timeout: [504, 'DMS.00500000'],
  internal: [500, 'DMS.00500000']
} satisfies WireErrors

/** By `details.reason`. A signature is checked by the API gateway before DMS, which has codes of its own. */
const codesByReason = new Map<unknown, string>([
  ['missing_token', 'DMS.10240103'],
  [badSignatureReason, 'APIGW.0301'],
  [emptyBodyReason, 'DMS.00400004']
])

/** Of a page that is too large or too far away. */
const codesOfPages = new Map<unknown, string>([
  ['limit', 'DMS.10240042'],
  ['offset', 'DMS.10240043']
])

function codeOf({ code, details: { field, reason } }: AppError): string | undefined {
  const isTooLarge = code === 'invalid_input' && typeof reason === 'string' && reason.startsWith('must be <=')
  return codesByReason.get(reason) ?? (isTooLarge ? codesOfPages.get(field) : undefined)
}

export const dms: Dialect = {
  name: 'dms',
  title: 'MQTT users API (DMS for RocketMQ)',
  errors,
  needsBody: true,
  tellsMethods: true,
  envelope(data) {
    return data
  },
  error(error, requestId) {
    const [status, code] = wireOf(errors, error)
    return jsonReply(status, {
      error_code: codeOf(error) ?? code,
      error_msg: error.message,
      request_id: requestId
    })
  },
  credentials: bearerOrSigned,
  envelopeSchema(reply) {
    return reply
  },
  errorSchema: {
    type: 'object',
    required: ['error_code', 'error_msg'],
    properties: { error_code: { type: 'string' }, error_msg: { type: 'string' }, request_id: { type: 'string' } }
  },
  securitySchemes: { ...bearerSchemes, ...signedScheme }
}

/** Query of a page, a `Range`: spread into the query's `Type.Object`. What is beyond a maximum has a code of its own here. */
export const dmsPaging = {
  offset: Type.Integer({ minimum: 0, maximum: maxPageNumber, default: 0 }),
  limit: Type.Integer({ minimum: 1, maximum: maxPageSize, default: 10 })
}

/** Schema of a page of items; `key` is the list's name (`users`, `policies`). */
export function DmsPage<K extends string, S extends TSchema>(key: K, item: S) {
  const list = { [key]: Type.Array(item) } as Record<K, ReturnType<typeof Type.Array<S>>>
  return Type.Object({ ...list, total: Type.Integer() })
}

export function toDmsPage<K extends string, T>(key: K, found: Found<T>) {
  const list = { [key]: found.items } as Record<K, T[]>
  return { ...list, total: found.total }
}
