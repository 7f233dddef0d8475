import { createHash, randomBytes } from 'node:crypto'
import type { Role } from '@fleetgate/kit'

export const enrolmentStates = ['ACTIVE', 'USED_UP', 'EXPIRED', 'REVOKED'] as const
export type EnrolmentState = (typeof enrolmentStates)[number]

/** Leave to enrol machines, given by an operator as a token. */
export interface Enrolment {
  _id: string
  tenantId: string
  enrolmentId: number
  name: string
  /** The token itself is shown once and kept nowhere. */
  tokenHash: string
  /** How many machines it is for, and for how many it still is. */
  uses: number
  left: number
  /** Whether it lets machines in whose client id is known already. */
  replace: boolean
  /** What its machines are; theirs to say where it is absent. */
  role?: Role | undefined
  groupIds: number[]
  /** The nickname of the moment; `creatorId` is absent where an earlier version made it. */
  createdBy: string
  creatorId?: string | undefined
  createdAt: number
  expiresAt: number
  revokedAt?: number | undefined
  machines: EnrolledMachine[]
  /** When the database deletes it. */
  forgetAt: Date
}

export interface EnrolledMachine {
  mqttClientId: string
  /** Where the request came from. */
  address: string
  takenAt: number
  /** Absent while something of it may still be to do: the machine asks again. */
  enrolledAt?: number | undefined
}

export interface EnrolmentDraft {
  name: string
  expiresInMs: number
  uses: number
  replace: boolean
  role?: Role | undefined
  groupIds: number[]
  createdBy: string
  creatorId: string
}

export function newToken(): string {
  return `fge_${randomBytes(32).toString('base64url')}`
}

/** Without salt: a token is 256 random bits, and is looked up by this. */
export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

export function isLive({ expiresAt, revokedAt }: Pick<Enrolment, 'expiresAt' | 'revokedAt'>, now: number): boolean {
  return revokedAt === undefined && expiresAt > now
}

export function stateOf(enrolment: Enrolment, now: number): EnrolmentState {
  if (enrolment.revokedAt !== undefined) return 'REVOKED'
  if (!isLive(enrolment, now)) return 'EXPIRED'
  return enrolment.left > 0 ? 'ACTIVE' : 'USED_UP'
}
