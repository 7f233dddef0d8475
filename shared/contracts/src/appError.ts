/** Every way an operation can refuse or fail. A dialect maps each to its own status and code. */
export const errorCodes = [
  'invalid_input',
  'malformed_body',
  'body_too_large',
  'unauthenticated',
  'token_expired',
  'bad_credentials',
  'forbidden',
  'not_found',
  'unknown_route',
  'conflict',
  'invalid_state',
  'quota_exceeded',
  'rate_limited',
  'unsupported',
  'unavailable',
  'timeout',
  'internal'
] as const

export type ErrorCode = (typeof errorCodes)[number]

export type ErrorDetails = Record<string, unknown>

/**
 * The one error that operations, stores and RPC handlers throw on purpose.
 * `message` is shown to callers; `cause` goes to the log only.
 */
export class AppError extends Error {
  override readonly name = 'AppError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
    options?: { cause?: unknown }
  ) {
    super(message, options)
  }
}

const known = new Set<string>(errorCodes)

/** True for a string that is one of our error codes (an RPC peer may be of another version). */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && known.has(value)
}
