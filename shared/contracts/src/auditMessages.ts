import { EpochMs, TenantId } from './ids.js'
import type { EventContract } from './messages.js'
import { oneOf, type Static, Type } from './schema.js'

export const auditResults = ['started', 'succeeded', 'refused', 'failed'] as const
export type AuditResult = (typeof auditResults)[number]

export const changeRecorded = {
  subject: 'audit.change.recorded',
  summary:
    'Somebody changed something in a service, or tried to. Told again under the same id, what ended counts and not that it was `started`, which stays where the process died before the end',
  data: Type.Object({
    /** In order of time: see newId. */
    id: Type.String({ pattern: '^[0-9a-f]{32}$' }),
    tenantId: TenantId,
    service: Type.String({ minLength: 1, maxLength: 64 }),
    at: EpochMs,
    action: Type.String({ minLength: 1, maxLength: 128 }),
    /** Ids and names of what was touched. */
    targets: Type.Array(Type.String({ maxLength: 320 }), { maxItems: 1000 }),
    /** Empty where nobody was signed in. */
    userId: Type.String({ maxLength: 64 }),
    email: Type.String({ maxLength: 320 }),
    /** Where a program acted for the person. */
    serviceTokenId: Type.Optional(Type.String()),
    address: Type.String(),
    requestId: Type.String(),
    result: oneOf(auditResults),
    /** Why it was refused or failed. */
    error: Type.Optional(Type.String())
  })
} satisfies EventContract

/** Who did what, when, from where, to what, and how it ended. */
export type AuditRecord = Static<typeof changeRecorded.data>

/** A change that somebody asks for. */
export type Deed = Omit<AuditRecord, 'id' | 'service' | 'at' | 'result' | 'error'>

export type DeedEnd = Pick<AuditRecord, 'result' | 'error' | 'targets'>

/** Where records of changes are kept. A record is there once `begin` resolves; what it resolves to puts the end into it. */
export interface Deeds {
  begin(deed: Deed): Promise<(end: DeedEnd) => Promise<void>>
}
