import { type Stack, type StackOptions, startStack } from '@fleetgate/local'
import { type Api, createApi } from './api.js'
import { temporaryFolder } from './parts.js'
import type { Teardown } from './teardown.js'

export type TestStack = Stack & {
  api: Api
  /** The last lines that the processes wrote, each after the name of its process. */
  output(): string
}

const keptLines = 2000

/**
 * The whole product on free ports and a folder of this test alone. Replies are checked against their schemas. What the
 * processes write is shown with FLEETGATE_TEST_LOG=1, and when the start fails.
 */
export async function startStackFor(t: Teardown, options: Partial<StackOptions> = {}): Promise<TestStack> {
  const dataDir = options.dataDir ?? temporaryFolder(t)
  const lines: string[] = []
  const onLine = (name: string, line: string) => {
    lines.push(`${name} ${line}`)
    if (lines.length > keptLines) lines.shift()
    if (process.env.FLEETGATE_TEST_LOG) console.error(name, line)
  }
  // The test runner's own NODE_OPTIONS would load its hooks into every service.
  const env = { NODE_OPTIONS: '', CHECK_REPLIES: 'true', ...options.env }
  const stack = await startStack({ onLine, ...options, dataDir, env }).catch((cause) => {
    throw new Error([`the stack did not start: ${String(cause)}`, ...lines].join('\n'), { cause })
  })
  t.teardown(() => stack.stop({ graceMs: 5000 }))
  return { ...stack, api: createApi(stack.url), output: () => lines.join('\n') }
}
