import type { AlertKind } from '@fleetgate/kit'

/** Something that a person should look at. It stays after it is closed. */
export interface Alert {
  /** Names what it is about, so that the same thing raises it once, however often and by whomever it is seen. */
  _id: string
  tenantId: string
  kind: AlertKind
  /** The job that failed, or the client that is away. */
  subjectId: number
  message: string
  raisedAt: number
  open?: true
  closedAt?: number
  /** Nobody was sent a mail yet. */
  unmailed?: true
}
