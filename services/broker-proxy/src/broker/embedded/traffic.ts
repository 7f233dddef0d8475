import type { Traffic } from '../brokerFacts.js'

const packetTypes = 16

export function createTraffic(): Traffic {
  const zeros = (length: number) => new Array<number>(length).fill(0)
  return {
    bytesIn: 0,
    bytesOut: 0,
    packetsIn: zeros(packetTypes),
    packetsOut: zeros(packetTypes),
    messagesIn: zeros(3),
    messagesOut: zeros(3),
    missed: zeros(packetTypes),
    dropped: 0
  }
}

/** Puts what was counted on one side to the other. */
export function addTraffic(into: Traffic, from: Traffic): void {
  into.bytesIn += from.bytesIn
  into.bytesOut += from.bytesOut
  into.dropped += from.dropped
  for (const key of ['packetsIn', 'packetsOut', 'messagesIn', 'messagesOut', 'missed'] as const) {
    for (const [index, count] of from[key].entries()) bump(into[key], index, count)
  }
}

export function bump(counts: number[], index: number, by = 1): void {
  counts[index] = (counts[index] ?? 0) + by
}
