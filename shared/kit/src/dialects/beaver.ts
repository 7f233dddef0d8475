import { oneOf, type Static, type TSchema, Type, type UserNames } from '@fleetgate/contracts'
import { type Found, maxPageNumber, maxPageSize, type Range } from '../reply.js'
import { bearerOf, bearerSchemes, type Dialect, jsonReply, type WireErrors, wireOf } from './dialect.js'

/**
 * Where Beaver IoT answers 500 for bad input (taken names, unknown paths) we answer 4xx with its code. Its web client
 * returns to the log-in page on `authentication_failed` only, so an expired token has that code too.
 */
const errors = {
  invalid_input: [400, 'parameter_validation_failed'],
  malformed_body: [400, 'parameter_syntax_error'],
  body_too_large: [413, 'data_too_large'],
  unauthenticated: [401, 'authentication_failed'],
  token_expired: [401, 'authentication_failed'],
  bad_credentials: [401, 'authentication_failed'],
  forbidden: [403, 'forbidden_permission'],
  not_found: [404, 'data_no_found'],
  unknown_route: [404, 'data_no_found'],
  conflict: [409, 'name_repeated'],
  invalid_state: [400, 'method_not_allowed'],
  quota_exceeded: [400, 'parameter_validation_failed'],
  rate_limited: [429, 'request_too_frequently'],
  unsupported: [400, 'method_not_allowed'],
  unavailable: [503, 'server_error'],
  timeout: [504, 'server_error'],
  internal: [500, 'server_error']
} satisfies WireErrors

const RequestIdField = { type: 'string', description: '32 hexadecimal digits' }

export const beaver: Dialect = {
  name: 'beaver',
  title: 'Beaver IoT API',
  errors,
  envelope(data, requestId, { bare }) {
    return bare ? data : { status: 'Success', request_id: requestId, data }
  },
  error(error, requestId) {
    const [status, code] = wireOf(errors, error)
    return jsonReply(status, {
      status: 'Failed',
      request_id: requestId,
      error_code: code,
      error_message: error.message
    })
  },
  credentials: bearerOf,
  envelopeSchema(reply, { bare }) {
    if (bare) return reply
    return {
      type: 'object',
      required: ['status', 'request_id'],
      properties: { status: { const: 'Success' }, request_id: RequestIdField, ...(reply ? { data: reply } : {}) }
    }
  },
  errorSchema: {
    type: 'object',
    required: ['status', 'request_id', 'error_code', 'error_message'],
    properties: {
      status: { const: 'Failed' },
      request_id: RequestIdField,
      error_code: { type: 'string' },
      error_message: { type: 'string' }
    }
  },
  securitySchemes: bearerSchemes
}

/** Fields of a body that asks for a page: spread them into the body's `Type.Object`. */
export const beaverPaging = {
  page_number: Type.Integer({ minimum: 1, maximum: maxPageNumber, default: 1 }),
  page_size: Type.Integer({ minimum: 1, default: 10 }),
  sorts: Type.Optional(
    Type.Array(Type.Object({ direction: oneOf(['ASC', 'DESC']), property: Type.String({ maxLength: 64 }) }))
  )
}

type BeaverPaging = Pick<Static<ReturnType<typeof pagingObject>>, 'page_number' | 'page_size'>

function pagingObject() {
  return Type.Object(beaverPaging)
}

/** `most` is for lists whose items are small. */
export function beaverRange({ page_number, page_size }: BeaverPaging, most = maxPageSize): Range {
  const limit = Math.min(page_size, most)
  return { offset: (page_number - 1) * limit, limit }
}

/** Schema of a page of items. */
export function BeaverPage<S extends TSchema>(item: S) {
  return Type.Object({
    page_size: Type.Integer(),
    page_number: Type.Integer(),
    total: Type.Integer(),
    content: Type.Array(item)
  })
}

export function toBeaverPage<T>(asked: BeaverPaging, found: Found<T>, most = maxPageSize) {
  return {
    page_size: Math.min(asked.page_size, most),
    page_number: asked.page_number,
    total: found.total,
    content: found.items
  }
}

/** Who created an item, as lists tell it: spread into the item's `Type.Object`. */
export const beaverCreator = {
  user_id: Type.Optional(Type.String()),
  user_nickname: Type.Optional(Type.String()),
  user_email: Type.Optional(Type.String()),
  user_deleted: Type.Optional(Type.Boolean())
}

type BeaverCreator = Static<ReturnType<typeof creatorObject>>

function creatorObject() {
  return Type.Object(beaverCreator)
}

/** What a user created outlives the user and says so. Without names, only the id is told. */
export function toBeaverCreator(userId: string | undefined, names: UserNames | undefined): BeaverCreator {
  if (!userId) return {}
  if (!names) return { user_id: userId }
  const known = names.get(userId)
  if (!known) return { user_id: userId, user_deleted: true }
  const { nickname, email, isDeleted } = known
  const shown = isDeleted ? `${nickname} (deleted)` : nickname
  return { user_id: userId, user_nickname: shown, user_email: email, user_deleted: isDeleted }
}
