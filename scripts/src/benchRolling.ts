import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startStack } from '@fleetgate/local'
import { logIn } from './demo/account.js'
import { toTable } from './demo/table.js'
import { connectFleet, runOnce } from './fleet/fanout.js'
import { startListeners } from './rolling/listeners.js'
import { replicasToRoll, restartReplica } from './rolling/roll.js'
import { startLoad } from './rolling/steadyLoad.js'

/**
 * Two replicas of each service under a steady load of requests through the gateway, jobs on simulated machines, and websockets
 * that want a value which changes all the time: each replica is restarted in turn.
 * Usage: scripts/bench/rolling [--requests 10000] [--machines 200] [--sockets 20]
 */
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '10000' },
    machines: { type: 'string', default: '200' },
    sockets: { type: 'string', default: '20' }
  }
})
const dataDir = mkdtempSync(join(tmpdir(), 'fleetgate-rolling-'))
const stack = await startStack({ dataDir, replicas: 2, env: { LOG_LEVEL: 'warn' } })
try {
  const say = (line: string) => console.log(line)
  const account = await logIn(stack.url, { dataDir, say })
  const fleet = await connectFleet(account, stack.mqttUrl, Number(values.machines))
  const load = await startLoad(account.session)
  const listeners = await startListeners(account, stack.url, { count: Number(values.sockets) })
  const rows: string[][] = []
  for (const name of replicasToRoll(stack)) {
    const [sent, begun] = [load.sent(), performance.now()]
    const job = runOnce(account.session, fleet)
    await restartReplica(stack, name)
    const { succeeded } = await job
    rows.push([name, ((performance.now() - begun) / 1000).toFixed(1), String(load.sent() - sent), String(succeeded)])
  }
  const { sent, failed, slowestMs } = await load.finish(Number(values.requests))
  for (const line of toTable(['restarted', 's', 'requests meanwhile', 'machines done'], rows)) console.log(line)
  console.log(`${sent} requests, ${failed.length} failed, slowest ${Math.round(slowestMs)} ms`)
  for (const line of failed.slice(0, 20)) console.log(`  ${line}`)
  const { written, pushes, reconnects, missed } = await listeners.finish()
  console.log(
    `${written} values to ${values.sockets} websockets: ${pushes} pushes, ${reconnects} reconnects, ${missed.length} missed`
  )
  for (const line of missed.slice(0, 20)) console.log(`  ${line}`)
  if (failed.length + missed.length > 0) process.exitCode = 1
  fleet.close()
} finally {
  await stack.stop()
  rmSync(dataDir, { recursive: true, force: true })
}
