import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError, type Check, compile, traceparentOf, withOrigin } from '@fleetgate/contracts'
import { defaultBodyLimit, emptyBodyReason, readBody } from './body.js'
import { type Caller, may } from './caller.js'
import type { Dialect } from './dialects/dialect.js'
import { sendError } from './errors.js'
import type { Guard } from './guard.js'
import { Counted, Raw, type RawReply } from './reply.js'
import type { RequestInfo, Route } from './route.js'
import type { KitRequest } from './server.js'

export interface HandlerOptions {
  route: Route
  dialect: Dialect
  guard: Guard | undefined
  checkReplies: boolean
}

export type Handler = (request: KitRequest, response: ServerResponse) => Promise<void>

class Info implements RequestInfo {
  constructor(private readonly request: KitRequest) {}

  get id() {
    return this.request.requestId
  }

  get address() {
    return addressOf(this.request)
  }

  get headers() {
    return this.request.headers
  }

  get stream() {
    return this.request
  }
}

/** The client's address; IPv4 addresses in IPv4 form. */
export function addressOf(request: KitRequest): string {
  const address = request.ip ?? ''
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

/** One function per route, made at mount: authenticate, authorize, parse, handle, wrap, send. */
export function createHandler({ route, dialect, guard, checkReplies }: HandlerOptions): Handler {
  const authenticate = createDoor(route, dialect, guard)
  const parse = createParser(route, dialect)
  const checkReply = checkReplies && route.reply ? compile(route.reply) : undefined
  const status = route.status ?? 200

  async function answer(request: KitRequest, response: ServerResponse): Promise<void> {
    try {
      const caller = await authenticate(request)
      const { params, query, body } = await parse(request)
      const data = await route.handle({ params, query, body, caller, request: new Info(request) })
      if (data instanceof Raw) {
        await sendRaw(response, data.reply)
        return
      }
      if (checkReply) inspectReply(checkReply, data, route)
      if (data instanceof Counted && data.count !== undefined) response.setHeader('X-Object-Count', data.count)
      sendJson(response, status, dialect.envelope(data, request.requestId, route))
    } catch (error) {
      sendError(response, dialect, error, request.requestId)
    }
  }

  return (request, response) => {
    request.routeLabel = route.path
    const origin = { requestId: request.requestId, traceparent: traceparentOf(request.trace) }
    return withOrigin(origin, () => answer(request, response))
  }
}

type Door = (request: KitRequest) => Caller | undefined | Promise<Caller>

function createDoor({ needs, path }: Route, dialect: Dialect, guard: Guard | undefined): Door {
  if (needs === 'public') return () => undefined
  if (!guard) throw new Error(`route ${path} needs a caller, but the app has no guard`)
  return async (request) => {
    const credentials = dialect.credentials(request)
    // The address costs more than a known token, and only passwords are limited by it.
    const address = credentials && 'basic' in credentials ? addressOf(request) : ''
    const caller = await guard.verify(credentials, address)
    request.caller = caller
    if (!may(caller, needs)) throw new AppError('forbidden', `not allowed: needs ${[needs].flat().join(' or ')}`)
    return caller
  }
}

interface Parsed {
  params: unknown
  query: unknown
  body: unknown
}

function createParser(route: Route, dialect: Dialect): (request: KitRequest) => Promise<Parsed> {
  const { anyContentType = false, needsBody = false } = dialect
  const checkParams = route.params && compile(route.params, { coerce: true })
  const checkQuery = route.query && compile(route.query, { coerce: true })
  const checkBody = route.body && compile(route.body)
  const options = { limit: route.bodyLimit ?? defaultBodyLimit, form: route.form ?? false, anyContentType }
  const isRequired = needsBody || route.body?.type === 'array'

  const parse = async (request: KitRequest): Promise<Parsed> => ({
    params: checkParams ? checkParams(joinWildcards(request.params)) : undefined,
    query: checkQuery ? checkQuery(withoutEmpty(request.query)) : undefined,
    body: checkBody ? checkBody(presentBody(await readBody(request, options), isRequired)) : undefined
  })
  const { fieldCodes } = route
  return fieldCodes ? (request) => parse(request).catch((error) => refuse(error, fieldCodes)) : parse
}

function refuse(error: unknown, fieldCodes: NonNullable<Route['fieldCodes']>): never {
  const field = error instanceof AppError && error.code === 'invalid_input' ? String(error.details.field) : ''
  if (!(error instanceof AppError) || !Object.hasOwn(fieldCodes, field)) throw error
  throw new AppError(error.code, error.message, { ...error.details, wireCode: fieldCodes[field] }, { cause: error })
}

/** An absent body counts as an object without fields, so that the refusal names the first missing field. */
function presentBody(body: unknown, isRequired: boolean): unknown {
  if (body !== undefined) return body
  if (isRequired) throw new AppError('invalid_input', 'body is required', { field: 'body', reason: emptyBodyReason })
  return {}
}

/** Express gives the segments of a wildcard as a list. */
function joinWildcards(params: Record<string, unknown>): Record<string, unknown> {
  for (const name in params) {
    const value = params[name]
    if (Array.isArray(value)) params[name] = value.join('/')
  }
  return params
}

/** Legacy clients send `?name=&limit=` for filters they leave open. */
function withoutEmpty(query: Record<string, unknown>): Record<string, unknown> {
  for (const name in query) if (query[name] === '') delete query[name]
  return query
}

/** Checks what would go over the wire: dates are text by then, and absent fields are gone. */
function inspectReply(check: Check<unknown>, data: unknown, route: Route): void {
  const value = data instanceof Counted ? data.data : data
  try {
    check(value === undefined ? undefined : JSON.parse(JSON.stringify(value)))
  } catch (cause) {
    throw new AppError('internal', `reply of ${route.method} ${route.path} breaks its schema`, {}, { cause })
  }
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.statusCode = status
  if (value === undefined || status === 204) {
    response.end()
    return
  }
  const text = JSON.stringify(value)
  response.setHeader('Content-Type', 'application/json; charset=utf-8')
  // Node counts the bytes itself, but not of a body that HEAD leaves out.
  if (response.req.method === 'HEAD') response.setHeader('Content-Length', Buffer.byteLength(text))
  response.end(text)
}

async function sendRaw(response: ServerResponse, { status = 200, headers = {}, body }: RawReply): Promise<void> {
  response.statusCode = status
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  if (body instanceof Readable) return sendStream(response, body)
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) {
    response.end(body)
    return
  }
  const text = JSON.stringify(body)
  if (!response.hasHeader('content-type')) response.setHeader('Content-Type', 'application/json; charset=utf-8')
  response.end(text)
}

async function sendStream(response: ServerResponse, body: Readable): Promise<void> {
  if (response.req.method === 'HEAD') {
    body.destroy()
    response.end()
    return
  }
  try {
    await pipeline(body, response)
  } catch (error) {
    // A client that goes away is no failure of ours.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
}
