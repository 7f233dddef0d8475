import { parseArgs } from 'node:util'
import { judge } from './bench/judge.js'
import { median } from './bench/table.js'
import { wholeNumber } from './bench/wholeNumber.js'
import { logIn } from './demo/account.js'
import { toTable } from './demo/table.js'
import { connectFleet, type Round, runOnce, untilDevices } from './fleet/fanout.js'
import { megabytes, memoryOf, peakOf, resetPeak } from './fleet/memory.js'
import { withStack } from './fleet/withStack.js'

/**
 * One job of three steps on many simulated machines: raw MQTT connections that speak the agent's protocol and do every
 * step at once, so that the product is what is measured. Fails where a bound is broken.
 * Usage: scripts/bench/fanout [--machines 2000] [--rounds 3]
 */
const { values } = parseArgs({
  options: { machines: { type: 'string', default: '2000' }, rounds: { type: 'string', default: '3' } }
})
const count = wholeNumber('machines', values.machines, 10_000)
const rounds = wholeNumber('rounds', values.rounds, 100)

/** The bounds that the product promises, with up to 10,000 machines. */
const mostSeconds = 30
const mostMegabytes = 300

await withStack(async (stack, dataDir) => {
  const say = (line: string) => console.log(line)
  const { EMAIL: email, PASSWORD: password } = process.env
  const account = await logIn(stack.url, { dataDir, email, password, say })
  const idle = memoryOf(stack.processes())
  const fleet = await connectFleet(account, stack.mqttUrl, count)
  // Machines are new once: jobs that come after that find them known.
  const knownMs = await untilDevices(account.session, count)
  const schedulers = stack.processes().filter(({ name }) => name.startsWith('scheduler'))
  for (const { pid } of schedulers) resetPeak(pid)
  const results: Round[] = []
  for (let round = 0; round < rounds; round += 1) results.push(await runOnce(account.session, fleet))
  print({ ...fleet, knownMs }, results)
  const after = new Map(memoryOf(stack.processes()).map((memory) => [memory.name, memory]))
  const rows = idle.map(({ name, rss }) => [
    name,
    megabytes(rss),
    megabytes(after.get(name)?.rss ?? 0),
    megabytes(after.get(name)?.pss ?? 0)
  ])
  console.log(`\nMemory in MB, before the machines connected and after the last round`)
  for (const line of toTable(['process', 'RSS before', 'RSS after', 'PSS after'], rows)) console.log(line)
  fleet.close()
  const peak = Math.max(0, ...schedulers.map(({ pid }) => peakOf(pid)))
  judge([
    {
      what: `run to last result, median of ${rounds}`,
      value: median(results.map(({ visibleMs }) => visibleMs)) / 1000,
      most: mostSeconds,
      unit: 's'
    },
    {
      what: 'peak memory of a scheduler meanwhile',
      value: peak > 0 ? peak / 1024 / 1024 : Number.NaN,
      most: mostMegabytes,
      unit: 'MB'
    },
    { what: 'results missing', value: missingOf(results), most: 0, unit: 'machines' }
  ])
})

function missingOf(results: Round[]): number {
  return Math.max(...results.map(({ succeeded }) => count - succeeded))
}

interface Beginning {
  connectMs: number
  onlineMs: number
  knownMs: number
}

function print({ connectMs, onlineMs, knownMs }: Beginning, results: Round[]): void {
  console.log(`\n${count} machines, ${rounds} rounds; times in seconds`)
  console.log(
    `connected in ${seconds(connectMs)}, all online in the scheduler after ${seconds(onlineMs)}, devices ${seconds(knownMs)} later`
  )
  const rows = results.map(({ reportedMs, visibleMs, succeeded }, index) => [
    String(index + 1),
    seconds(reportedMs),
    seconds(visibleMs),
    String(Math.round(count / (visibleMs / 1000))),
    String(succeeded)
  ])
  const head = [
    'round',
    'run to last report acknowledged',
    'run to last result in the log API',
    'executions/s',
    'succeeded'
  ]
  for (const line of toTable(head, rows)) console.log(line)
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2)
}
