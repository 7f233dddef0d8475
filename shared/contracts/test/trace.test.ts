import t from 'tap'
import { continueTrace, parseTraceparent, traceFieldsOf, traceparentOf } from '../src/trace.js'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

t.test('a caller that sends a trace is followed, in a span of its own', async (t) => {
  const trace = continueTrace(`00-${traceId}-${spanId}-00`, 'f'.repeat(32))
  t.match(trace, { traceId, flags: '00' }, 'whether the trace is kept is the caller’s decision')
  t.match(trace.spanId, /^[0-9a-f]{16}$/)
  t.not(trace.spanId, spanId)
  t.match(parseTraceparent(traceparentOf(trace)), trace)
})

t.test('without one there is a new trace, under the id of the request where that can be one', async (t) => {
  t.equal(continueTrace(undefined, traceId).traceId, traceId)
  for (const id of ['', 'my-request', '0'.repeat(32), traceId.toUpperCase()]) {
    t.match(continueTrace(undefined, id).traceId, /^[0-9a-f]{32}$/)
    t.not(continueTrace(undefined, id).traceId, id)
  }
  t.not(continueTrace(undefined).traceId, continueTrace(undefined).traceId)
})

t.test('what is not well formed counts as none', async (t) => {
  const broken = [
    undefined,
    ['x'],
    '',
    traceId,
    `00-${traceId}-${spanId}`,
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`
  ]
  for (const text of broken) t.equal(parseTraceparent(text), undefined, String(text))
  t.match(parseTraceparent(`01-${traceId}-${spanId}-01-more`), { traceId }, 'a later version may say more')
  t.equal(traceFieldsOf('nonsense'), undefined)
  t.match(traceFieldsOf(`00-${traceId}-${spanId}-01`), { trace_id: traceId, span_id: /^[0-9a-f]{16}$/ })
})
