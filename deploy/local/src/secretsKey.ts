import { randomBytes } from 'node:crypto'
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const keyBytes = 32

/** The file with the key that seals secrets at rest (`keyId:base64`), made at the first start. They are lost with it. */
export function secretsKeyFile(dir: string): string {
  const file = join(dir, 'secrets.key')
  if (existsSync(file)) return file
  writeFileSync(`${file}.new`, `k1:${randomBytes(keyBytes).toString('base64')}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
  return file
}
