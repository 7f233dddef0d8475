import { createContext, Script } from 'node:vm'
import type { StoredValue, ValueType } from './storedValue.js'

/** People write these patterns: one that backtracks without end may not hold up the service. */
const matchWithinMs = 50
/** One that ran out of time gets less of it for a while: of many values each would take all of it. */
const tiredForMs = 1000
const matchTiredWithinMs = 2
const maxTired = 1000
/** On a busy machine the time may have gone to other programs, and says nothing of the pattern. */
const maxTries = 10
const tiredUntil = new Map<string, number>()
const sandbox = createContext(Object.create(null))
const match = new Script('new RegExp(pattern).test(text)')

/** `HEX`, `IMAGE`, `IMAGE:URL`, `IMAGE:BASE64` or `REGEX:<pattern>`; other words ask for nothing. */
export function formatReason(value: StoredValue, type: ValueType, format: unknown): string | undefined {
  if (typeof format !== 'string' || type === 'BOOLEAN' || type === 'BINARY') return undefined
  const text = String(value)
  if (format.startsWith('REGEX:')) {
    return matches(format.slice('REGEX:'.length), text) ? undefined : 'does not match its pattern'
  }
  switch (format) {
    case 'HEX':
      return /^([0-9A-Fa-f]{2})+$/.test(text) ? undefined : 'is not hexadecimal'
    case 'IMAGE':
      return isImageUrl(text) || isImageData(text) ? undefined : 'is no image'
    case 'IMAGE:URL':
      return isImageUrl(text) ? undefined : 'is no URL of an image'
    case 'IMAGE:BASE64':
      return isImageData(text) ? undefined : 'is no image in base64'
    default:
      return undefined
  }
}

/** True for a pattern that can be used at all. */
export function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern)
    return true
  } catch {
    return false
  }
}

/** The whole text; what takes too long does not match. */
function matches(pattern: string, text: string): boolean {
  Object.assign(sandbox, { pattern: `^(?:${pattern})$`, text })
  const isTired = (tiredUntil.get(pattern) ?? 0) > performance.now()
  const timeout = isTired ? matchTiredWithinMs : matchWithinMs
  for (let tries = 0; tries < maxTries; tries++) {
    const begun = process.cpuUsage()
    try {
      return match.runInContext(sandbox, { timeout }) === true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false
      const { user, system } = process.cpuUsage(begun)
      if (!isTired && (user + system) / 1000 < timeout / 2) continue
      tire(pattern)
      return false
    }
  }
  return false
}

function tire(pattern: string): void {
  if (tiredUntil.size >= maxTired) tiredUntil.clear()
  tiredUntil.set(pattern, performance.now() + tiredForMs)
}

function isImageUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text)
}

function isImageData(text: string): boolean {
  return /^data:image\/[a-z0-9.+-]+;base64,/i.test(text) && text.length > text.indexOf(',') + 1
}
