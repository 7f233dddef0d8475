import type { MessageRecord } from './messageRecord.js'
import { encode, type SessionRecord } from './records.js'
import type { Kept, SessionState } from './sessionState.js'

/** The whole state as records that build it again: bodies before the queues that name them. */
export function* snapshotOf(state: SessionState, retained: Iterable<MessageRecord>): Generator<Buffer> {
  for (const message of retained) yield encode({ ...message, from: 0, fromId: 0, targets: [] })
  for (const { seq, topic, payload, qos } of state.bodies.values()) {
    yield encode({ kind: 'message', seq, topic, payload, qos, retain: false, from: 0, fromId: 0, targets: [] })
  }
  for (const kept of state.all()) yield Buffer.concat([...recordsOf(kept)].map(encode))
  for (const will of state.wills.values()) yield encode({ kind: 'will', will })
}

function* recordsOf(kept: Kept): Generator<SessionRecord> {
  const { no } = kept.facts
  yield { kind: 'session', facts: kept.facts }
  yield { kind: 'absent', no, at: kept.absentSince }
  yield { kind: 'subscribed', no, filters: [...kept.filters] }
  for (const { body, qos, id, state } of kept.queue.values()) {
    yield { kind: 'queued', no, seq: body.seq, id: qos }
    if (state === 'sent' || state === 'released') yield { kind: state, no, seq: body.seq, id }
  }
  for (const id of kept.received) yield { kind: 'received', no, seq: 0, id }
}
