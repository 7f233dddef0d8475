import { sha256 } from '../files.js'

/** `<executionId>-<attempt>-<scriptId>-<launch>`; an id that could be anything but a plain name is hashed. */
export function launchFolder(attempt: { executionId: string; attempt: number }, key: string, launch: number): string {
  const isPlain = /^[A-Za-z0-9_-]{1,100}$/.test(attempt.executionId)
  const id = isPlain ? attempt.executionId : sha256(attempt.executionId).slice(0, 32)
  return `${id}-${attempt.attempt}-${key.replaceAll('/', '-')}-${launch}`
}
