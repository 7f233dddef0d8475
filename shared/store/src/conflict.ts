import { AppError } from '@fleetgate/contracts'

const duplicateKey = 11000

/** True for a write that a unique index refused, alone or in bulk. */
export function isDuplicateKey(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === duplicateKey
}

/**
 * For `.catch((error) => toConflict(error, 'the name is taken'))`: a duplicate key becomes
 * AppError('conflict', message), everything else is thrown on as it is.
 */
export function toConflict(error: unknown, message: string, details: Record<string, unknown> = {}): never {
  if (isDuplicateKey(error)) throw new AppError('conflict', message, details, { cause: error })
  throw error
}
