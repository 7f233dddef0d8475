import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Parts } from './parts.js'

/** The death of a service right after a certain write, as `kill -9` would have it: `env` goes to `startService`. */
export function createKillAtWrite({ dir }: Pick<Parts, 'dir'>) {
  const path = join(dir, 'killAt')
  const hook = new URL('./killAtWriteHook.js', import.meta.url).href
  return {
    env: { KILL_AT: path, NODE_OPTIONS: `--import ${hook}` },
    /** Counts from now on the writes to these collections together. */
    set: (count: number, ...collections: string[]) => writeFileSync(path, [count, ...collections].join(' ')),
    /** False once it has died. */
    isSet: () => existsSync(path),
    clear: () => rmSync(path, { force: true })
  }
}
