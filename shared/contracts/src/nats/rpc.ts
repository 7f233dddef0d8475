import { type Msg, NatsError } from 'nats'
import { AppError, type ErrorDetails, isErrorCode } from '../appError.js'
import type { BusOptions, RequestOptions, Subscription } from '../bus.js'
import type { RpcContract } from '../messages.js'
import { continueOrigin, type Origin, originFields, withOrigin } from '../origin.js'
import type { Static, TSchema } from '../schema.js'
import { ConnectionLost, type Link } from './link.js'
import { checkOf, decodePayload, encodePayload, newHeaders, readOrigin, rpcSubject } from './wire.js'

type Reply =
  | { ok: true; data: unknown }
  | { ok: false; error: { code: string; message: string; details?: ErrorDetails } }

export async function request<Q extends TSchema, R extends TSchema>(
  link: Link,
  contract: RpcContract<Q, R>,
  data: Static<Q>,
  { timeoutMs = contract.timeoutMs, ...origin }: RequestOptions = {}
): Promise<Static<R>> {
  const payload = encodePayload(contract.request, data)
  if (!link.isUp()) throw new AppError('unavailable', `${contract.operation}: not connected to NATS`)
  const made = newHeaders(origin)
  const reply = await link
    .request(rpcSubject(contract), payload, { timeout: timeoutMs, headers: made })
    .catch((error) => Promise.reject(toAppError(contract.operation, error)))
  return readReply(contract, reply)
}

function toAppError(operation: string, error: unknown): unknown {
  if (error instanceof ConnectionLost)
    return new AppError('unavailable', `${operation}: ${error.message}`, {}, { cause: error })
  if (!(error instanceof NatsError)) return error
  if (error.code === 'TIMEOUT')
    return new AppError('timeout', `${operation} did not answer in time`, {}, { cause: error })
  return new AppError('unavailable', `nobody answers ${operation}`, {}, { cause: error })
}

function readReply<R extends TSchema>(contract: RpcContract<TSchema, R>, reply: Msg): Static<R> {
  let answer: Reply
  try {
    answer = reply.json<Reply>()
    if (answer.ok) return checkOf(contract.reply)(answer.data)
  } catch (cause) {
    throw brokenReply(contract.operation, cause)
  }
  const { code, message, details } = answer.error
  throw new AppError(isErrorCode(code) ? code : 'internal', message, details ?? {})
}

function brokenReply(operation: string, cause: unknown): AppError {
  return new AppError('internal', `the reply of ${operation} breaks its contract`, {}, { cause })
}

export async function serve<Q extends TSchema, R extends TSchema>(
  link: Link,
  { name, log }: BusOptions,
  contract: RpcContract<Q, R>,
  handle: (data: Static<Q>) => Promise<Static<R>>
): Promise<Subscription> {
  const working = new Set<Promise<void>>()

  async function answer(message: Msg, origin: Origin | undefined): Promise<void> {
    const fields = { operation: contract.operation, ...originFields(origin) }
    try {
      const data = await handle(decodeRequest(contract, message))
      message.respond(encodeReply(contract, data))
      log.debug(fields, 'RPC answered')
    } catch (error) {
      const isExpected = error instanceof AppError && error.code !== 'internal'
      if (!isExpected && !link.connection.isClosed()) log.error({ err: error, ...fields }, 'RPC handler failed')
      const shown = error instanceof AppError ? error : new AppError('internal', 'internal error')
      refuse(message, shown)
    }
  }

  function refuse(message: Msg, { code, message: text, details }: AppError): void {
    const reply: Reply = { ok: false, error: { code, message: text, details } }
    // On a closed connection nobody can be told; the caller's deadline ends it.
    if (!link.connection.isClosed()) message.respond(JSON.stringify(reply))
  }

  const subscription = link.connection.subscribe(rpcSubject(contract), {
    queue: name,
    callback: (error, message) => {
      if (error) return log.error({ err: error, operation: contract.operation }, 'RPC subscription refused')
      const origin = continueOrigin(readOrigin(message.headers))
      const job = withOrigin(origin, () => answer(message, origin)).finally(() => working.delete(job))
      working.add(job)
    }
  })

  // When this resolves, questions find their way here.
  if (link.isUp()) await link.connection.flush()
  return {
    async stop() {
      if (link.isUp()) await subscription.drain()
      else subscription.unsubscribe()
      await Promise.all(working)
    }
  }
}

function decodeRequest<Q extends TSchema>(contract: RpcContract<Q>, message: Msg): Static<Q> {
  try {
    return decodePayload(contract.request, message.data)
  } catch (error) {
    if (error instanceof AppError) throw error
    throw new AppError('malformed_body', 'the request is not JSON', {}, { cause: error })
  }
}

function encodeReply<R extends TSchema>(contract: RpcContract<TSchema, R>, data: Static<R>): string {
  try {
    return JSON.stringify({ ok: true, data: checkOf(contract.reply)(data) } satisfies Reply)
  } catch (cause) {
    throw brokenReply(contract.operation, cause)
  }
}
