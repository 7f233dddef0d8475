import { AppError, type Caller, type Log, severityOf, type UserNames } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { NamesOf } from '../users/userNames.js'
import type { AuditEntry, AuditFilter, AuditStore } from './auditStore.js'

/** A change that somebody asks for. */
export type Deed = Pick<
  AuditEntry,
  'tenantId' | 'action' | 'targets' | 'userId' | 'email' | 'serviceTokenId' | 'address' | 'requestId'
>

export interface AuditOptions {
  store: AuditStore
  namesOf: NamesOf
  now: () => number
  log: Log
}

export type Audited = PageOf<AuditEntry> & { actors: UserNames }

export type Audit = ReturnType<typeof createAudit>

const mostTargets = 1000
const longestTarget = 320

/** Keeps a record of every change. It is begun before the change and ended before the answer: none can be missing. */
export function createAudit({ store, namesOf, now, log }: AuditOptions) {
  /** The record is there already; that its end is not is no reason to tell a caller that the change failed. */
  async function finish(id: string, end: Pick<AuditEntry, 'result' | 'error' | 'targets'>): Promise<void> {
    try {
      await store.finish(id, end)
    } catch (err) {
      log[severityOf(err)]({ err, auditId: id, result: end.result }, 'end of an audited change not recorded')
    }
  }

  return {
    /** Does the work between the two halves of its record. `touched` names what the result tells of its targets. */
    async around<T>(deed: Deed, work: () => Promise<T>, touched: (result: T) => string[] = () => []): Promise<T> {
      const targets = bounded(deed.targets)
      const id = await store.insert({ ...deed, targets, at: now(), result: 'started' })
      try {
        const result = await work()
        await finish(id, { result: 'succeeded', targets: bounded([...targets, ...touched(result)]) })
        return result
      } catch (error) {
        await finish(id, { ...endOf(error), targets })
        throw error
      }
    },

    /** For changes by strangers: only what succeeded is kept, or anybody could fill the record. */
    async done(deed: Deed): Promise<void> {
      await store.insert({ ...deed, targets: bounded(deed.targets), at: now(), result: 'succeeded' })
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

const failures = new Set(['internal', 'unavailable', 'timeout'])

function endOf(error: unknown): Pick<AuditEntry, 'result' | 'error'> {
  const code = error instanceof AppError ? error.code : 'internal'
  return { result: failures.has(code) ? 'failed' : 'refused', error: code }
}

function bounded(targets: string[]): string[] {
  return [...new Set(targets.map((target) => target.slice(0, longestTarget)))].slice(0, mostTargets)
}
