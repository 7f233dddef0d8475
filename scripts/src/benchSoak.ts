import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { wholeNumber } from './bench/wholeNumber.js'
import { soak } from './soak/soak.js'

/**
 * The whole stack, two replicas of each service, under load of all kinds, while its parts are killed with -9 or frozen at random
 * moments; afterwards nothing that was accepted may be lost, doubled or left undone. The folder with all log lines is kept where
 * something is wrong.
 * Usage: scripts/bench/soak [--seconds 120] [--seed N] [--replicas 2] [--rest 240] [--only engine]
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    seed: { type: 'string', default: String(randomInt(1_000_000)) },
    replicas: { type: 'string', default: '2' },
    rest: { type: 'string', default: '240' },
    only: { type: 'string' }
  }
})
const seed = wholeNumber('seed', values.seed, 2 ** 32 - 1, 0)
const dataDir = mkdtempSync(join(tmpdir(), 'fleetgate-soak-'))
const say = (line: string) => console.log(line)
say(`seed ${seed}, files and log lines in ${dataDir}`)
const { counts, failures, restedMs, findings } = await soak({
  ...{ dataDir, seed, say },
  seconds: wholeNumber('seconds', values.seconds, 100_000),
  replicas: wholeNumber('replicas', values.replicas, 8),
  restMs: 1000 * wholeNumber('rest', values.rest, 10_000),
  only: values.only === undefined ? undefined : new RegExp(values.only)
})
for (const [what, count] of Object.entries(counts)) say(`${String(count).padStart(8)} ${what}`)
for (const [what, count] of Object.entries(failures)) say(`${String(count).padStart(8)} failed, ${what}`)
say(`${(restedMs / 1000).toFixed(1)} s until all was at rest; seed ${seed}: ${findings.length} findings`)
for (const finding of findings) say(`  ${finding}`)
if (findings.length === 0) rmSync(dataDir, { recursive: true, force: true })
process.exit(findings.length === 0 ? 0 : 1)
