import { readFileSync } from 'node:fs'

/** Put in by the bundler: the bundle has no package.json beside it. */
declare const bundledVersion: string | undefined

export const version =
  typeof bundledVersion === 'string'
    ? bundledVersion
    : // From package.json, two folders above the compiled file.
      (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version
