import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AgentProgram } from '../demo/machines.js'

const bundler = fileURLToPath(new URL('../../../../services/agent/dist/tools/bundle.js', import.meta.url))

/** Makes the agent as one file in this folder, to be started as its unit in deploy/agent starts it. */
export function makeAgentBundle(folder: string): AgentProgram & { file: string } {
  const file = join(folder, 'fleetgate-agent.mjs')
  execFileSync(process.execPath, [bundler, file], { env: { ...process.env, NODE_OPTIONS: '' } })
  const env = { MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_TRIM_THRESHOLD_: '65536' }
  return { file, args: ['--max-semi-space-size=1', file], env }
}
