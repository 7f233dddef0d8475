import {
  AppError,
  type AuditRecord,
  boundedTargets,
  type Caller,
  createAuditor,
  type Deed,
  type Log,
  type UserNames
} from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { NamesOf } from '../users/userNames.js'
import type { AuditFilter, AuditStore } from './auditStore.js'

export interface AuditOptions {
  store: AuditStore
  namesOf: NamesOf
  now: () => number
  log: Log
}

export type Audited = PageOf<AuditRecord> & { actors: UserNames }

export type Audit = ReturnType<typeof createAudit>

/** The record of every change: our own, and what the other services tell of theirs. */
export function createAudit({ store, namesOf, now, log }: AuditOptions) {
  const ours = (deed: Deed) => ({ ...deed, service: 'auth', at: now() })

  return {
    ...createAuditor(
      {
        async begin(deed) {
          const id = await store.insert({ ...ours(deed), result: 'started' })
          return (end) => store.finish(id, end)
        }
      },
      log
    ),

    /** For changes by strangers: only what succeeded is kept, or anybody could fill the record. */
    async done(deed: Deed): Promise<void> {
      await store.insert({ ...ours(deed), targets: boundedTargets(deed.targets), result: 'succeeded' })
    },

    /** With the names that the actors have now, or had last. */
    async search(filter: Omit<AuditFilter, 'tenantId'>, page: Page, caller: Caller): Promise<Audited> {
      if (!caller.isSuperAdmin) throw new AppError('forbidden', 'only a super admin may do this')
      const { tenantId } = caller
      const found = await store.search({ ...filter, tenantId }, page)
      const actors = await namesOf(
        tenantId,
        found.items.flatMap(({ userId }) => userId || [])
      )
      return { ...found, actors }
    }
  }
}
