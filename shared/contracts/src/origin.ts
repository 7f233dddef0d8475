import { AsyncLocalStorage } from 'node:async_hooks'
import type { Delivered } from './bus.js'
import { continueTrace, parseTraceparent, traceparentOf } from './trace.js'

/** The request that a piece of work comes from, through however many processes. */
export interface Origin {
  readonly requestId?: string | undefined
  /** W3C traceparent, well formed, with the span of whoever holds it. */
  readonly traceparent?: string | undefined
}

export interface OriginFields {
  requestId?: string | undefined
  trace_id?: string | undefined
  span_id?: string | undefined
}

const storage = new AsyncLocalStorage<Origin | undefined>()

/** Where the work at hand comes from; nothing for work of the process's own. */
export function currentOrigin(): Origin | undefined {
  return storage.getStore()
}

/** Does work whose messages and log lines, in all that it leads to, carry this origin. Without one they carry none. */
export function withOrigin<T>(origin: Origin | undefined, work: () => T): T {
  // From the first entry on Node follows every promise of the process, which costs: a process without origins never enters.
  return origin === storage.getStore() ? work() : storage.run(origin, work)
}

/** For loops and timers that somebody's request may set going, and that go on for everybody. */
export function detached<T>(work: () => T): T {
  return withOrigin(undefined, work)
}

/** The origin, in a span of one's own, of what a message asks for; nothing where it carries none. */
export function continueOrigin({ requestId, traceparent }: Origin): Origin | undefined {
  const isTraced = parseTraceparent(traceparent) !== undefined
  if (!requestId && !isTraced) return undefined
  const mine = isTraced && { traceparent: traceparentOf(continueTrace(traceparent)) }
  return { ...(requestId && { requestId }), ...mine }
}

/** What a message goes out with: what its sender gives, else the origin of the work at hand, never a part of each. */
export function originOr({ requestId, traceparent }: Origin): Origin {
  return requestId || traceparent ? { requestId, traceparent } : (currentOrigin() ?? {})
}

/** What a log line says of an origin. A fresh object each time. */
export function originFields(origin: Origin | undefined): OriginFields {
  if (!origin) return {}
  const { requestId, traceparent } = origin
  // By their places: reading it with its expression costs each log line four times what the rest of the line costs.
  return { requestId, trace_id: traceparent?.slice(3, 35), span_id: traceparent?.slice(36, 52) }
}

/** Handles the messages of a batch one after the other, each under its own origin. */
export async function oneByOne<T>(
  batch: readonly Delivered<T>[],
  handle: (message: Delivered<T>) => Promise<void> | void
): Promise<void> {
  // A batch of one origin is at work in it already, in one span.
  const shared = isOfOne(batch) ? currentOrigin() : undefined
  for (const message of batch) await withOrigin(shared ?? continueOrigin(message), () => handle(message))
}

/** The origin of a batch whose messages all have the same one; nothing where they differ. */
export function originOfAll(batch: readonly Delivered<unknown>[]): Origin | undefined {
  const [first] = batch
  return first && isOfOne(batch) ? continueOrigin(first) : undefined
}

function isOfOne([first, ...others]: readonly Delivered<unknown>[]): boolean {
  return others.every(({ requestId, traceparent }) => {
    return requestId === first?.requestId && traceparent === first?.traceparent
  })
}
