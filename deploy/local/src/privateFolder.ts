import { chmodSync, lstatSync, mkdirSync } from 'node:fs'

/** Makes a folder for this user alone, or checks that the one that is there is: others may plant one in /tmp. */
export function privateFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const found = lstatSync(path)
  if (!found.isDirectory() || found.uid !== process.getuid?.()) throw new Error(`${path} is not a folder of this user`)
  if (found.mode & 0o077) chmodSync(path, 0o700)
  return path
}
