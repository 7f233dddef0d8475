import { parseArgs } from 'node:util'
import { findStack } from '@fleetgate/local'
import { median, quantile } from './bench/table.js'
import { wholeNumber } from './bench/wholeNumber.js'
import { logIn } from './demo/account.js'
import { toTable } from './demo/table.js'
import { withStack } from './fleet/withStack.js'
import { type Asked, askHistory } from './telemetry/ask.js'
import { connectDevices, type Devices, entities } from './telemetry/devices.js'
import { fewRows, type HistoryRows, openHistory, points, type Row } from './telemetry/historyRows.js'
import { type Pushed, publishes, pushTo } from './telemetry/push.js'
import { takeIn } from './telemetry/takeIn.js'

/**
 * Values of MQTT devices, from the publish to the history, the chart and the open websocket.
 * Taken in: devices publish samples in messages of four with QoS 1, at most 8 of each unacknowledged, until every row is in
 * the history; beside it the same number of rows, copies of real ones, goes into the same collection of the same engine by
 * plain insertMany in batches of 1000, one after the other, journaled as the product's are. The product makes the rows
 * of JSON, keeps each message in its stream before the acknowledgement, checks each value, keeps the latest ones and tells
 * websockets; the plain side does none of that.
 * Asked for: 10,000 points of one entity through the gateway, with few rows and with many rows of other entities around them.
 * Pushed: from the publish to the frame at each websocket, all of them in this process, which reads every frame.
 * Usage: scripts/bench/telemetry [--samples 50000] [--devices 100] [--rows 2000000] [--sockets 500] [--rounds 3]
 */
const { values } = parseArgs({
  options: {
    samples: { type: 'string', default: '50000' },
    devices: { type: 'string', default: '100' },
    rows: { type: 'string', default: '2000000' },
    sockets: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '3' }
  }
})
const deviceCount = wholeNumber('devices', values.devices, 1000)
const samples = wholeNumber('samples', values.samples, 1_000_000, deviceCount * entities.length)
const manyRows = wholeNumber('rows', values.rows, 20_000_000, fewRows)
const sockets = wholeNumber('sockets', values.sockets, 5000)
const rounds = wholeNumber('rounds', values.rounds, 20)
/** Of each device: every device sends as many, so a few samples fewer than asked for may be sent. */
const messages = Math.floor(samples / deviceCount / entities.length)
const rows = messages * deviceCount * entities.length

const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
/** Rounds an hour apart, all past; what is written past the product lies where no round comes. */
const now = Math.floor(Date.now() / 1000) * 1000
const roundAt = (round: number) => now - (rounds - round) * hourMs
const plainAt = (round: number) => roundAt(round) - 30 * dayMs
const filledAt = now - 200 * dayMs
const say = (line: string) => console.log(line)

await withStack(async (stack, dataDir) => {
  const { EMAIL: email, PASSWORD: password } = process.env
  const account = await logIn(stack.url, { dataDir, email, password, say })
  const { session, tenantId, token } = account
  const history = await openHistory(findStack(dataDir)?.mongoUri ?? '', tenantId)
  try {
    if ((await history.total()) > 0) throw new Error('the stack has a history already: rows could not be told apart')
    const devices = await connectDevices(account, stack.mqttUrl, deviceCount)
    try {
      const first = now - dayMs
      await takeIn(devices, history, { messages: 1, from: first })
      const real = (await history.read({ from: first, to: first })) as [Row, ...Row[]]
      const ask = () => askHistory(session, real[0].entityId, filledAt)
      await history.fillTo(fewRows, real, filledAt)
      const few = { rows: await history.total(), asked: await ask() }
      await compareTakeIn(devices, history, real)
      say(`\nFilling the history up to ${manyRows} rows …`)
      await history.fillTo(manyRows, real, filledAt)
      printAsked(few, { rows: await history.total(), asked: await ask() })
      printPushed(await pushTo(sockets, stack.url, token, devices))
    } finally {
      await devices.close()
    }
  } finally {
    await history.close()
  }
})

async function compareTakeIn(devices: Devices, history: HistoryRows, real: Row[]): Promise<void> {
  const results: { acknowledged: number; stored: number; plain: number }[] = []
  for (let round = 0; round < rounds; round += 1) {
    const ours = await takeIn(devices, history, { messages, from: roundAt(round) })
    const begun = performance.now()
    await history.insertPlain(real, rows, plainAt(round))
    const plain = rows / (performance.now() - begun)
    results.push({ acknowledged: rows / ours.acknowledgedMs, stored: rows / ours.storedMs, plain })
  }
  say(`\n${rows} samples of ${deviceCount} devices, ${entities.length} a message; samples/s, none missing`)
  const lineOf = (name: string, all: typeof results) => [
    name,
    perSecond(all.map(({ acknowledged }) => acknowledged)),
    perSecond(all.map(({ stored }) => stored)),
    perSecond(all.map(({ plain }) => plain)),
    median(all.map(({ stored, plain }) => stored / plain)).toFixed(2)
  ]
  const lines = [...results.map((one, round) => lineOf(String(round + 1), [one])), lineOf('median', results)]
  const head = ['round', 'acknowledged', 'publish to history', 'plain insertMany', 'history of plain']
  for (const line of toTable(head, lines)) say(line)
}

function printAsked(few: { rows: number; asked: Asked }, many: { rows: number; asked: Asked }): void {
  say(`\n${points} points of one entity, ${few.asked.pages.length} asks; ms`)
  const names = { pages: 'search, 10 pages of 1000', buckets: 'aggregate, average of each second' }
  const at = (times: number[], part: number) => quantile(times, part)
  const lines = (['pages', 'buckets'] as const).map((way) => {
    const [small, large] = [few.asked[way], many.asked[way]]
    const figures = [at(small, 0.5), at(small, 0.99), at(large, 0.5), at(large, 0.99)].map((ms) => ms.toFixed(1))
    return [names[way], ...figures, (at(large, 0.5) / at(small, 0.5)).toFixed(2)]
  })
  const columns = [few, many].flatMap(({ rows: count }) => [`p50, ${count} rows`, `p99, ${count} rows`])
  for (const line of toTable(['question', ...columns, 'p50 many of few'], lines)) say(line)
}

function printPushed({ frames, last }: Pushed): void {
  say(`\n${publishes} publishes to ${sockets} websockets that want the same key; ms from the publish`)
  const lineOf = (name: string, times: number[]) => [
    name,
    ...[0.5, 0.99, 1].map((part) => quantile(times, part).toFixed(1))
  ]
  const lines = [lineOf('frame at a websocket', frames), lineOf('frame at the last websocket', last)]
  for (const line of toTable(['until', 'p50', 'p99', 'longest'], lines)) say(line)
}

function perSecond(perMs: number[]): string {
  return Math.round(median(perMs) * 1000).toString()
}
