import { until } from '@fleetgate/testkit'
import { inLanes } from '../fleet/lanes.js'
import { type Devices, entities, indexes } from './devices.js'
import type { HistoryRows } from './historyRows.js'

export interface TakenIn {
  /** From the first publish until the last message was acknowledged to its device. */
  acknowledgedMs: number
  /** From the first publish until the last sample was in the history. */
  storedMs: number
}

const publishMs = 600_000
const storeMs = 300_000
/** Messages of one device that are not acknowledged yet, at most. */
const inFlight = 8

/** Each device publishes as many messages from this time on, a millisecond apart; rejects where a sample is missing at the end. */
export async function takeIn(
  devices: Devices,
  history: HistoryRows,
  { messages, from }: { messages: number; from: number }
): Promise<TakenIn> {
  const wanted = devices.count * messages * entities.length
  const before = await devices.taken()
  const begun = performance.now()
  const all = indexes(messages)
  const publishAll = (device: number) =>
    inLanes(all, (index) => devices.publish(device, index % 1000, from + index), inFlight)
  const publishing = Promise.all(indexes(devices.count).map(publishAll))
  await within(publishMs, Promise.race([devices.lost, publishing]))
  const acknowledgedMs = performance.now() - begun
  const isTaken = async () => (await devices.taken()) - before >= wanted
  await until(isTaken, { what: 'the samples to be taken', deadlineMs: storeMs, everyMs: 25 })
  const storedAt = await lastStored(history, { from, messages, wanted })
  return { acknowledgedMs, storedMs: storedAt - begun }
}

/** The product's own count is cheap to ask for; what counts is that every row is there, and none twice. */
async function lastStored(
  history: HistoryRows,
  { from, messages, wanted }: { from: number; messages: number; wanted: number }
): Promise<number> {
  const look = async () => {
    const at = performance.now()
    const count = await history.count({ from, to: from + messages - 1 })
    return count === wanted ? at : undefined
  }
  return until(look, { what: `exactly ${wanted} rows in the history`, deadlineMs: 60_000, everyMs: 25 })
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not every message was acknowledged within ${ms} ms`)), ms)
  })
  return Promise.race([work, tooLate]).finally(() => clearTimeout(timer))
}
