import type { Role } from '@fleetgate/kit'
import { partsOf } from '@fleetgate/store'
import type { Value } from '../attributes/attribute.js'
import { groupBy } from '../inGroups.js'

export const statuses = ['ONLINE', 'OFFLINE'] as const
export type Status = (typeof statuses)[number]

/** A machine of the fleet. */
export interface Client {
  _id: string
  tenantId: string
  clientId: number
  mqttClientId: string
  username: string
  ip: string
  enabled: boolean
  role: Role
  /** A person chose the role: what the machine says does not change it. Who may serve files to others is no machine's choice then. */
  isRoleFixed?: boolean
  status: Status
  /** When the newest connection known was made, by the broker's clock: it names the connection. */
  connectedAt?: number
  disconnectedAt?: number
  /** When the newest hello came, by the broker's clock. */
  helloAt?: number
  version?: string
  /** What the machine said of itself at its latest hello. */
  attributes: Value[]
  /** What operators assigned; it wins over what the machine says. */
  assigned?: AssignedValue[]
  /** The static groups that it was bound to. */
  groupIds?: number[]
  /** When it got its name, if that was a moment ago: what is open for it may still have to follow. */
  renamedAt?: number
  /** The end of a connection (`disconnectedAt`) of which an alert was raised. */
  toldAwayAt?: number
  createdAt: number
}

/** What searches for a part of a name look up; kept beside the names, never read. */
export interface NameParts {
  nameParts?: string[]
  usernameParts?: string[]
}

/** Goes into every write of one of the names. */
export function namePartsOf({ mqttClientId, username }: Partial<Pick<Client, 'mqttClientId' | 'username'>>): NameParts {
  return {
    ...(mqttClientId === undefined ? {} : { nameParts: partsOf(mqttClientId) }),
    ...(username === undefined ? {} : { usernameParts: partsOf(username) })
  }
}

export interface AssignedValue extends Value {
  attributeId: number
}

export interface ClientDraft {
  mqttClientId: string
  username: string
  ip: string
  enabled: boolean
  role: Role
  isRoleFixed?: boolean
}

export interface SeenConnection {
  tenantId: string
  clientId: string
  username: string
  ip: string
  connectedAt: number
}

/** The newest connection of each machine, in the order of first sight: a batch may hold several of one. */
export function newestPerClient<T extends Pick<SeenConnection, 'tenantId' | 'clientId' | 'connectedAt'>>(
  seen: readonly T[]
): T[] {
  const newest = new Map<string, T>()
  for (const one of seen) {
    const key = `${one.tenantId}/${one.clientId}`
    const other = newest.get(key)
    if (!other || other.connectedAt < one.connectedAt) newest.set(key, one)
  }
  return [...newest.values()]
}

export function byTenant<T extends { tenantId: string }>(items: readonly T[]): Map<string, T[]> {
  return groupBy(items, ({ tenantId }) => tenantId)
}

/** True where the broker has a connection that we do not know of, or had taken for ended before it was looked at. */
export function isMissed(
  known: Pick<Client, 'status' | 'connectedAt' | 'disconnectedAt'> | undefined,
  connectedAt: number,
  takenAt: number
): boolean {
  if (known?.connectedAt === undefined || known.connectedAt < connectedAt) return true
  const isSame = known.connectedAt === connectedAt
  return isSame && known.status === 'OFFLINE' && (known.disconnectedAt ?? 0) < takenAt
}
