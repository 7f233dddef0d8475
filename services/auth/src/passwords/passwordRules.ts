import { AppError } from '@fleetgate/kit'

const shortest = 8
/** bcrypt reads no further; a longer password would be accepted by its first 72 bytes. */
const longest = 72

/** Refuses what bcrypt cannot keep apart: too long by bytes, or holding NUL, which ends bcrypt's key. */
export function checkPassword(password: string, field: string): void {
  const bytes = Buffer.byteLength(password, 'utf8')
  if (bytes < shortest || bytes > longest) {
    throw new AppError('invalid_input', `${field} must be ${shortest} to ${longest} bytes long in UTF-8`, { field })
  }
  if (password.includes('\0')) throw new AppError('invalid_input', `${field} must not hold a NUL character`, { field })
}

/** False for a password that no account can have. */
export function isPossible(password: string): boolean {
  return Buffer.byteLength(password, 'utf8') <= longest && !password.includes('\0')
}
