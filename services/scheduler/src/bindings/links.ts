import { AppError } from '@fleetgate/kit'
import type { Bound } from '../jobs/jobStore.js'

/** What can be bound, in the order of the document's numbers (`config/maintenance`). */
export const kinds = ['job', 'task', 'group', 'client'] as const
export type Kind = (typeof kinds)[number]

/** A pair that can be bound, read from the side that keeps the list. */
export type Link = { owner: 'job'; bound: Bound; limit: number } | { owner: 'client' }

const links: Partial<Record<string, Link>> = {
  'job task': { owner: 'job', bound: 'taskIds', limit: 100 },
  'job client': { owner: 'job', bound: 'clientIds', limit: 100_000 },
  'job group': { owner: 'job', bound: 'groupIds', limit: 1000 },
  'client group': { owner: 'client' }
}

/** How two kinds are bound, whichever is named first; nothing where they cannot be. */
export function linkOf(a: Kind, b: Kind): (Link & { isOwner: boolean }) | undefined {
  const straight = links[`${a} ${b}`]
  if (straight) return { ...straight, isOwner: true }
  const reverse = links[`${b} ${a}`]
  return reverse && { ...reverse, isOwner: false }
}

export function checkedLink(a: Kind, b: Kind, field: string): Link & { isOwner: boolean } {
  const link = linkOf(a, b)
  if (link) return link
  const why = a === b ? `a ${a} has no ${b}s of its own` : `a ${a} and a ${b} are bound by way of a job`
  throw new AppError('invalid_input', `${b}s cannot be bound to a ${a}: ${why}`, { field })
}
