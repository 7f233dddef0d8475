import { setTimeout as delay } from 'node:timers/promises'
import { toTable } from './demo/table.js'
import { megabytes, memoryOf } from './fleet/memory.js'
import { withStack } from './fleet/withStack.js'

/** What the product weighs while nobody asks anything of it. Usage: scripts/bench/footprint */
const settleMs = 10_000

await withStack(async (stack) => {
  console.log(`Idle for ${settleMs / 1000} s …`)
  await delay(settleMs)
  const all = memoryOf(stack.processes())
  const total = { rss: all.reduce((sum, { rss }) => sum + rss, 0), pss: all.reduce((sum, { pss }) => sum + pss, 0) }
  const rows = [...all, { name: 'total', ...total }].map(({ name, rss, pss }) => [name, megabytes(rss), megabytes(pss)])
  for (const line of toTable(['process', 'RSS MB', 'PSS MB'], rows)) console.log(line)
  console.log('PSS counts shared pages (the node binary above all) once; RSS counts them in every process.')
})
