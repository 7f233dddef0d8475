import { randomUUID } from 'node:crypto'
import { Type } from './schema.js'

/** Where a piece of work stands in a trace: W3C Trace Context, level 1. */
export interface Trace {
  /** 32 hexadecimal digits, the same from the caller to the machine. */
  traceId: string
  /** 16 hexadecimal digits: this process's part of it. */
  spanId: string
  /** `01` where the caller keeps the trace, else `00`. */
  flags: string
}

const form = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const zeros = /^0+$/
const hexadecimal = /^[0-9a-f]{32}$/

/** A header value or a field of a message. */
export const Traceparent = Type.String({ pattern: form.source, description: 'W3C traceparent' })

/** Reads a traceparent; nothing where it is not well formed, as the standard wants it. */
export function parseTraceparent(text: unknown): Trace | undefined {
  if (typeof text !== 'string') return undefined
  const [, traceId = '', spanId = '', flags = '', rest] = form.exec(text) ?? []
  // Only later versions may have more fields.
  if (traceId === '' || zeros.test(traceId) || zeros.test(spanId) || (rest && text.startsWith('00'))) return undefined
  return { traceId, spanId, flags }
}

/** A new part of the caller's trace, or of a new one, which takes the request's id as its own where that can be one. */
export function continueTrace(traceparent: unknown, requestId = ''): Trace {
  const caller = parseTraceparent(traceparent)
  if (caller) return { ...caller, spanId: newSpanId() }
  const isFit = hexadecimal.test(requestId) && !zeros.test(requestId)
  return { traceId: isFit ? requestId : randomUUID().replaceAll('-', ''), spanId: newSpanId(), flags: '01' }
}

export function traceparentOf({ traceId, spanId, flags }: Trace): string {
  return `00-${traceId}-${spanId}-${flags}`
}

/** What a log line says of a trace, under the names that log stores know. */
export function traceFields(trace: Trace | undefined): { trace_id: string; span_id: string } | undefined {
  return trace && { trace_id: trace.traceId, span_id: trace.spanId }
}

/** The same for work that a message asks for; nothing where it carries no trace. */
export function traceFieldsOf(traceparent: string | undefined): { trace_id: string; span_id: string } | undefined {
  return parseTraceparent(traceparent) && traceFields(continueTrace(traceparent))
}

/** A UUID's first and last 32 bits: random ones, and quicker to be had than fresh bytes. */
function newSpanId(): string {
  const id = randomUUID()
  return id.slice(0, 8) + id.slice(28)
}
