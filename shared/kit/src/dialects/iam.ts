import { STATUS_CODES } from 'node:http'
import {
  bearerOrSigned,
  bearerSchemes,
  type Dialect,
  jsonReply,
  signedScheme,
  type WireErrors,
  wireOf
} from './dialect.js'

/** Keystone's form, which has no codes beside the status. */
const errors = {
  invalid_input: [400, 400],
  malformed_body: [400, 400],
  body_too_large: [413, 413],
  unauthenticated: [401, 401],
  token_expired: [401, 401],
  bad_credentials: [401, 401],
  forbidden: [403, 403],
  not_found: [404, 404],
  unknown_route: [404, 404],
  conflict: [409, 409],
  invalid_state: [409, 409],
  quota_exceeded: [400, 400],
  rate_limited: [429, 429],
  unsupported: [400, 400],
  unavailable: [503, 503],
  timeout: [504, 504],
  internal: [500, 500]
} satisfies WireErrors

/** IAM, Keystone v3: log-in and access keys for programs that were written against DMS. */
export const iam: Dialect = {
  name: 'iam',
  title: 'Log-in and access keys (IAM)',
  errors,
  envelope(data) {
    return data
  },
  error(error) {
    const [status, code] = wireOf(errors, error)
    return jsonReply(status, { error: { message: error.message, code, title: STATUS_CODES[status] ?? '' } })
  },
  credentials: bearerOrSigned,
  envelopeSchema(reply) {
    return reply
  },
  errorSchema: {
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        required: ['message', 'code', 'title'],
        properties: { message: { type: 'string' }, code: { type: 'integer' }, title: { type: 'string' } }
      }
    }
  },
  securitySchemes: { ...bearerSchemes, ...signedScheme }
}
