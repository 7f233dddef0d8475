import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where a program stands on the control machine, if it does. */
export function findOnPath(program: string, path = ''): string | undefined {
  const files = path
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, program))
  return files.find((file) => existsSync(file))
}
