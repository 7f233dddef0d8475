import { AppError, type Caller, type Found, type Range } from '@fleetgate/kit'
import { newHexId } from '../linkerFields.js'
import type { LogFilter, LogStore } from './logStore.js'

export const queryTypes = ['cluster', 'host', 'pubkey', 'registry', 'service', 'provider'] as const
export type QueryType = (typeof queryTypes)[number]
/** The vocabulary of the original, and our own below it. */
export const operateTypes = [
  'create_cluster',
  'delete_cluster',
  'add_hosts',
  'delete_hosts',
  'save_pubkey',
  'create_pubkey',
  'delete_pubkey',
  'create_registry',
  'delete_registry',
  'change_pubkeys',
  'change_registries',
  'apply_cluster',
  'create_provider',
  'update_provider',
  'delete_provider'
] as const
export type OperateType = (typeof operateTypes)[number]
export const logStatuses = ['start', 'success', 'fail'] as const

export interface LogEntry {
  id: string
  tenantId: string
  userId: string
  userName: string
  clusterId: string
  clusterName: string
  operateType: OperateType
  queryType: QueryType
  status: (typeof logStatuses)[number]
  comments: string
  createdAt: number
  updatedAt: number
}

export type Logs = ReturnType<typeof createLogs>

/** The operation log: who changed what, and how it ended. */
export function createLogs({ store, now }: { store: Pick<LogStore, 'put' | 'list'>; now: () => number }) {
  return {
    list: (filter: LogFilter, range: Range, caller: Caller): Promise<Found<LogEntry>> =>
      store.list(caller.tenantId, filter, range),

    /** Writes an entry as it stands now; the same id again changes it. */
    put: (entry: Omit<LogEntry, 'updatedAt'>): Promise<void> => store.put({ ...entry, updatedAt: now() }),

    /** Around a change of one document: `start` before it, `success` or `fail` after. */
    async around<T>(
      caller: Caller,
      operateType: OperateType,
      queryType: QueryType,
      comments: string,
      work: () => Promise<T>
    ): Promise<T> {
      const at = now()
      const { tenantId, userId, email } = caller
      const entry: LogEntry = {
        id: newHexId(at),
        tenantId,
        userId,
        userName: email,
        clusterId: '',
        clusterName: '',
        operateType,
        queryType,
        status: 'start',
        comments,
        createdAt: at,
        updatedAt: at
      }
      // What was done, or refused, is the answer, also where its end cannot be written down: then `start` is all that is known.
      const end = (set: Partial<LogEntry>) => store.put({ ...entry, ...set, updatedAt: now() }).catch(() => undefined)
      await store.put(entry)
      try {
        const result = await work()
        await end({ status: 'success' })
        return result
      } catch (error) {
        const reason = error instanceof AppError ? error.message : 'internal error'
        await end({ status: 'fail', comments: `${comments}: ${reason}` })
        throw error
      }
    }
  }
}
