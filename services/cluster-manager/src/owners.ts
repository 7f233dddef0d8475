import { Type, type UserNames } from '@fleetgate/kit'

/** Field of a reply that tells what somebody made. Ours: who made it is no longer there. */
export const ownerGone = { owner_deleted: Type.Optional(Type.Boolean()) }

/** What somebody made outlives its owner and says so; where auth does not answer nothing is said. */
export function toOwnerGone(userId: string, owners: UserNames | undefined): { owner_deleted?: true } {
  return owners !== undefined && owners.get(userId)?.isDeleted !== false ? { owner_deleted: true } : {}
}

/** The name of the owner beside it: of one who is gone `name (deleted)`. */
export function toOwner<Field extends string>(
  field: Field,
  { owner, userId }: { owner: string; userId: string },
  owners: UserNames | undefined
): Record<Field, string> & { owner_deleted?: true } {
  const gone = toOwnerGone(userId, owners)
  const shown = gone.owner_deleted ? `${owner} (deleted)` : owner
  return { ...({ [field]: shown } as Record<Field, string>), ...gone }
}
