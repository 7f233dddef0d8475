import type { ServerResponse } from 'node:http'
import { AppError } from '@fleetgate/contracts'
import type { Dialect, WireReply } from './dialects/dialect.js'
import type { KitRequest } from './server.js'

/** What went wrong, as an AppError: anything thrown by accident becomes `internal` with a fixed message. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  // Express marks a path that cannot be decoded this way.
  if (error instanceof URIError) return new AppError('invalid_input', 'path is not well-formed', { field: 'path' })
  return new AppError('internal', 'internal error', {}, { cause: error })
}

/** An error in the form of a dialect. `details.retryAfter`, in seconds, also tells when to come again (RFC 9110, 10.2.3). */
export function errorReply(dialect: Dialect, error: AppError, requestId: string): WireReply {
  const reply = dialect.error(error, requestId)
  const { retryAfter } = error.details
  if (typeof retryAfter !== 'number') return reply
  return { ...reply, headers: { ...reply.headers, 'retry-after': String(Math.max(1, Math.ceil(retryAfter))) } }
}

/** Answers an error in the form of a dialect and leaves it for the request's log line. */
export function sendError(res: ServerResponse, dialect: Dialect, error: unknown, requestId: string): void {
  const known = toAppError(error)
  const request = res.req as Partial<KitRequest> | undefined
  if (request) request.failure = known
  if (res.headersSent) {
    // Half an answer cannot be taken back; cutting it off tells the client that it is not whole.
    res.destroy()
    return
  }
  const { status, headers, body } = errorReply(dialect, known, requestId)
  for (const name of res.getHeaderNames()) if (name.startsWith('content-')) res.removeHeader(name)
  res.statusCode = status
  for (const name in headers) res.setHeader(name, headers[name] as string)
  res.end(body)
}
