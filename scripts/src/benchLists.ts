import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { findStack } from '@fleetgate/local'
import type { Session } from '@fleetgate/testkit'
import { type Bound, judge } from './bench/judge.js'
import { quantile } from './bench/table.js'
import { logIn } from './demo/account.js'
import { bodyOf, post } from './demo/client.js'
import { toTable } from './demo/table.js'
import { connectFleet, runOnce } from './fleet/fanout.js'
import { withStack } from './fleet/withStack.js'
import { fill } from './lists/fill.js'
import { groupMark, questions } from './lists/questions.js'
import { settle } from './lists/settle.js'

/**
 * Lists and logs of a large fleet through the gateway: each question asked again and again, one at a time. Fails where a
 * question takes longer than is promised.
 * Usage: scripts/bench/lists [--clients 100000] [--rows 1000000] [--rounds 300]
 */
const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '100000' },
    rows: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '300' }
  }
})
const clients = Number(values.clients)
const rows = Number(values.rows)
const rounds = Number(values.rounds)

/** The bound that the product promises, of the p99 of each question in milliseconds. */
const mostP99 = 50

// Filled in machines are online in the documents alone: a comparison with the broker would set them offline.
process.env.RECONCILE_MS ??= String(86_400_000)

await withStack(async (stack, dataDir) => {
  const say = (line: string) => console.log(line)
  const options = { dataDir, email: process.env.EMAIL, password: process.env.PASSWORD, say }
  const { session, tenantId } = await logIn(stack.url, options)
  const fleet = await connectFleet({ session, tenantId }, stack.mqttUrl, 2)
  const { jobId } = await runOnce(session, fleet)
  fleet.close()
  say(`Filling in ${clients} clients and ${rows} results …`)
  const begun = performance.now()
  const { mongoUri = '', natsUrl = '' } = findStack(dataDir) ?? {}
  const filled = await fill(mongoUri, jobId, { clients, rows })
  const filledAt = performance.now()
  say(`filled in ${seconds(filledAt - begun)} s`)
  await settle(session, { natsUrl, tenantId, names: filled.names })
  say(`all machines are devices after ${seconds(performance.now() - filledAt)} s more`)
  const group = { groupName: 'Online', description: '', type: 1, enabled: true }
  const rule = { queryProperty: 'status', queryOperation: 'EQ', queryValue: 'ONLINE' }
  const { groupId } = await post<{ groupId: number }>(session, '/v1/groups', { ...group, ...rule })
  const table: string[][] = []
  const bounds: Bound[] = []
  for (const [name, path] of questions(filled, rows)) {
    const times = await ask(session, path.replace(groupMark, String(groupId)))
    const [first = 0, ...later] = times
    table.push([name, first.toFixed(1), at(later, 0.5), at(later, 0.99), at(later, 1)])
    bounds.push({ what: `p99 of ${name}`, value: quantile(later, 0.99), most: mostP99, unit: 'ms' })
  }
  for (const line of toTable(['question', 'first ms', 'p50 ms', 'p99 ms', 'longest ms'], table)) say(line)
  judge(bounds)
})

async function ask(session: Session, path: string): Promise<number[]> {
  const times: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const begun = performance.now()
    bodyOf(await session.get(path), path)
    times.push(performance.now() - begun)
  }
  return times
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(0)
}

function at(times: number[], part: number): string {
  return quantile(times, part).toFixed(1)
}
