import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort } from '@fleetgate/local'
import { findOrStart, type RunningStack } from '../demo/stack.js'

/** The stack of DATA_DIR where one is named, else one of its own that is removed afterwards. */
export async function withStack(work: (stack: RunningStack, dataDir: string) => Promise<void>): Promise<void> {
  const own = process.env.DATA_DIR ? undefined : mkdtempSync(join(tmpdir(), 'fleetgate-bench-'))
  const dataDir = own ?? resolve(process.env.DATA_DIR ?? '')
  const say = (line: string) => console.log(line)
  const stack = await findOrStart({ dataDir, port: await freePort(), mqttPort: await freePort(), say })
  try {
    await work(stack, dataDir)
  } finally {
    await stack.stop()
    if (own) rmSync(own, { recursive: true, force: true })
  }
}
