import { setFlagsFromString } from 'node:v8'

// Before anything else is loaded: the agent is a guest on its machine. The first two save it 12 MB of 94, the third (no
// optimizing compiler) 10 more: its work is disk, network and native hashing, which are as fast without.
for (const flag of ['--max-semi-space-size=1', '--optimize-for-size', '--no-opt']) setFlagsFromString(flag)

const { runCommand } = await import('./cli.js')
await runCommand(process.argv.slice(2))
