import { type DemoOptions, readOptions, usage } from './demo/options.js'
import { createDemo, type DemoResult } from './demo/runDemo.js'

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), process.env)
  if (!options) {
    console.log(usage)
    return 0
  }
  const demo = createDemo(options)
  const signal = new Promise<undefined>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => resolve(undefined))
  })
  try {
    const result = await Promise.race([signal, demo.run()])
    return result ? await conclude(result, options, signal) : 130
  } finally {
    await demo.stop()
  }
}

async function conclude(
  { faults, killed }: DemoResult,
  { keep }: DemoOptions,
  signal: Promise<unknown>
): Promise<number> {
  for (const fault of faults) console.log(`WRONG  ${fault}`)
  if (killed.length > 0) console.log(`Killed while the job ran: ${killed.join(', ')}`)
  if (faults.length === 0) console.log('Every machine has the file, byte for byte, and ran the program exactly once.')
  if (keep) {
    console.log('Everything is left running; Ctrl-C stops it.')
    await signal
  }
  return faults.length === 0 ? 0 : 1
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    console.error(`The demo failed: ${error.message}${error.cause instanceof Error ? ` (${error.cause.message})` : ''}`)
    process.exit(1)
  }
)
