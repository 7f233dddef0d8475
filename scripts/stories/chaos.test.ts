/** The main job while every part of the product, and one machine, is killed with -9 once. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@fleetgate/testkit'
import t from 'tap'
import { runDemo } from '../src/demo/runDemo.js'

const parts = [/scheduler/, /broker-proxy/, /nats/, /engine/, /gateway/, /the agent of /]

t.test('every machine succeeds, each program runs exactly once, no report is missing or doubled', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'chaos-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const said: string[] = []
  const demo = await runDemo({
    dataDir,
    port: await freePort(),
    mqttPort: await freePort(),
    stores: 5,
    bytes: 20 * 1024 * 1024,
    chaos: true,
    keep: false,
    say: (line) => said.push(line)
  })
  t.teardown(() => demo.stop())
  const { faults, killed, results } = demo.result
  t.same(faults, [], said.join('\n'))
  t.equal(results.length, 5)
  for (const part of parts)
    t.ok(
      killed.some((name) => part.test(name)),
      `${part} died while the job ran: ${killed.join(', ')}`
    )
})
