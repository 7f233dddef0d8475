import type { mongo } from 'mongoose'
import type { ClientStore } from '../clients/clientStore.js'
import { goneEnd, type Hold } from '../executions/execution.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import type { Release } from '../executions/release.js'
import { type Due, dueFields } from './due.js'
import type { HeldRun } from './leases.js'

export interface AsideDeps {
  executions: Pick<ExecutionStore, 'collection'>
  clients: Pick<ClientStore, 'presenceOf'>
  now: () => number
  /** Lets what waits for these machines go on. */
  release: Release
}

/** Executions that wait for their machine and not for their turn. */
export interface Aside {
  /** Puts aside what cannot be sent; answers what can. */
  sift(tenantId: string, due: Due[]): Promise<Due[]>
  /**
   * Looks once more at some of what these runs have put aside, the next ones at each call. Whoever saw a machine come back, or
   * deleted it, may have died before it told. Answers the run that it found something wrong with.
   */
  lookAtSome(runs: readonly HeldRun[]): Promise<string | undefined>
}

const someSize = 500

export function createAside({ executions: { collection }, clients, now, release }: AsideDeps): Aside {
  let looking: { run: HeldRun; cursor: mongo.FindCursor<Due> } | undefined
  const lookedAt = new Set<string>()

  async function presence(tenantId: string, due: Due[]): Promise<Map<number, Hold>> {
    const found = await clients.presenceOf(
      tenantId,
      due.map(({ clientId }) => clientId)
    )
    return new Map(
      found.map(({ clientId, enabled, status }) => [
        clientId,
        !enabled ? 'DISABLED' : status === 'ONLINE' ? 'NONE' : 'OFFLINE'
      ])
    )
  }

  async function hold(due: Due[], reason: Hold): Promise<void> {
    if (due.length === 0) return
    const filter = { _id: { $in: due.map(({ _id }) => _id) }, open: true as const }
    await collection.updateMany(filter, { $set: { hold: reason } })
  }

  async function failGone(due: Due[]): Promise<void> {
    if (due.length === 0) return
    const filter = { _id: { $in: due.map(({ _id }) => _id) }, open: true as const }
    await collection.updateMany(filter, { $set: goneEnd(now()), $unset: { open: '', dueAt: '', claim: '' } } as never)
  }

  /** Those whose machine may work now, and those that have none any more. */
  async function changedAmong(tenantId: string, aside: Due[]): Promise<{ back: Due[]; gone: Due[] }> {
    if (aside.length === 0) return { back: [], gone: [] }
    const places = await presence(tenantId, aside)
    return {
      back: aside.filter(({ clientId }) => places.get(clientId) === 'NONE'),
      gone: aside.filter(({ clientId }) => !places.has(clientId))
    }
  }

  /** The next run after those that were looked at; all of them anew once each was. */
  function open(runs: readonly HeldRun[]): typeof looking {
    const isNext = ({ _id }: HeldRun) => !lookedAt.has(_id)
    if (!runs.some(isNext)) lookedAt.clear()
    const run = runs.find(isNext)
    if (!run) return undefined
    lookedAt.add(run._id)
    const filter = { runId: run._id, open: true as const, hold: { $in: ['OFFLINE', 'DISABLED'] as Hold[] } }
    const cursor = collection.find(filter, { projection: dueFields, batchSize: someSize })
    return { run, cursor: cursor as unknown as mongo.FindCursor<Due> }
  }

  async function close(): Promise<void> {
    const closing = looking
    looking = undefined
    await closing?.cursor.close().catch(() => undefined)
  }

  return {
    async sift(tenantId, due) {
      const places = await presence(tenantId, due)
      const offline = due.filter(({ clientId }) => places.get(clientId) === 'OFFLINE')
      const disabled = due.filter(({ clientId }) => places.get(clientId) === 'DISABLED')
      await hold(offline, 'OFFLINE')
      await hold(disabled, 'DISABLED')
      await failGone(due.filter(({ clientId }) => !places.has(clientId)))
      // One that came back, or was deleted, between the look and the hold would wait for ever.
      const { back, gone } = await changedAmong(tenantId, [...offline, ...disabled])
      await hold(back, 'NONE')
      await failGone(gone)
      return due.filter(({ clientId }) => places.get(clientId) === 'NONE')
    },

    async lookAtSome(runs) {
      if (looking && !runs.some(({ _id }) => _id === looking?.run._id)) await close()
      looking ??= open(runs)
      if (!looking) return undefined
      const { run, cursor } = looking
      try {
        const some: Due[] = []
        while (some.length < someSize) {
          const one = await cursor.next()
          if (!one) break
          some.push(one)
        }
        if (some.length < someSize) await close()
        const { back, gone } = await changedAmong(run.tenantId, some)
        await failGone(gone)
        // All that waits for these machines, not of this run alone: another one may be of higher priority.
        if (back.length > 0) await release(run.tenantId, [...new Set(back.map(({ mqttClientId }) => mqttClientId))], 0)
        return back.length + gone.length > 0 ? run._id : undefined
      } catch (error) {
        // A database that was started again knows the cursor no more.
        await close()
        throw error
      }
    }
  }
}
