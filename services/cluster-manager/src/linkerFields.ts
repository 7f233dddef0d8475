import { randomBytes } from 'node:crypto'
import { AppError, type Caller, Type } from '@fleetgate/kit'

/** Fields that every resource of this API shares. */
export const HexId = Type.String({ pattern: '^[0-9a-f]{24}$' })
export const ById = Type.Object({ id: HexId })
export const UserId = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' })
/** No blanks at its ends and no control characters; Chinese is as good as English. */
export const Name = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: '^[^\\s\\p{Cc}](?:[^\\p{Cc}]*[^\\s\\p{Cc}])?$'
})

/** `2017-09-21T06:44:21Z`: no fraction. */
export function toTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+/, '')
}

/** Seconds, then random: the shape of a Mongo ObjectId. */
export function newHexId(now: number): string {
  const seconds = Math.floor(now / 1000).toString(16)
  return seconds.padStart(8, '0') + randomBytes(8).toString('hex')
}

/** Linker let any valid token name any user; here what one makes is one's own. */
export function checkOwner(userId: string | undefined, caller: Caller): void {
  if (userId !== undefined && userId !== caller.userId) {
    throw new AppError('forbidden', 'user_id must be your own: what belongs to others is out of reach', {
      field: 'user_id'
    })
  }
}

/** `name` or `-name`, as Linker's database driver had it, to a field and a direction. */
export function sortOf<F extends string>(
  fields: Readonly<Record<string, F>>,
  sort: string
): { field: F; direction: 1 | -1 } {
  const direction = sort.startsWith('-') ? -1 : 1
  return { field: fields[sort.replace('-', '')] as F, direction }
}
