import { continueOrigin, detached, withOrigin } from '@fleetgate/kit'
import type { Leases } from '@fleetgate/store'
import type { Cluster } from '../clusters/cluster.js'
import type { ClusterStore } from '../clusters/clusterStore.js'
import { type DriveDeps, drive } from './drive.js'
import { LostLease } from './progress.js'

export interface EngineDeps extends Omit<DriveDeps, 'write'> {
  store: ClusterStore
  leases: Leases
  leaseMs: number
  /** Told before an operation is driven, at each change of drivers again. */
  begun: (cluster: Cluster) => Promise<void>
}

export interface Engine {
  /** Something may have begun, or been cancelled: look at once. */
  wake(): void
  start(): void
  /** Leaves the operations at work to others; what runs on hosts runs on. */
  stop(): Promise<void>
}

interface Driven {
  epoch: number
  lose: AbortController
  cancel: AbortController
  done: Promise<void>
}

/** Drives the operations whose lease this replica holds, each on its own. */
export function createEngine({ store, leases, leaseMs, begun, ...deps }: EngineDeps): Engine {
  const driven = new Map<string, Driven>()
  const everyMs = Math.max(100, Math.floor(leaseMs / 4))
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let round: Promise<void> = Promise.resolve()
  let renewedAt = Date.now()

  async function look(): Promise<void> {
    try {
      const asked = Date.now()
      // One that ends while the documents are read stands in them as it was before.
      const before = new Set(driven.keys())
      await leases.renew()
      renewedAt = asked
      const held = await store.held(leases.held())
      for (const [id, one] of driven) {
        const now = held.find(({ cluster }) => cluster.id === id)
        if (!now || now.epoch !== one.epoch) one.lose.abort(new LostLease('another replica drives this operation'))
        else if (now.cluster.operation.cancelRequested) one.cancel.abort(new Error('cancelled'))
      }
      for (const { cluster, epoch } of held) {
        if (!driven.has(cluster.id) && !before.has(cluster.id) && !isStopped) begin(cluster, epoch)
      }
    } catch (error) {
      deps.log.warn({ err: error }, 'leases not renewed, trying again')
      // Others may have taken over what could not be renewed for so long.
      if (Date.now() - renewedAt > leaseMs)
        for (const one of driven.values()) one.lose.abort(new LostLease('the lease ran out'))
    }
  }

  function begin(cluster: Cluster, epoch: number): void {
    const lose = new AbortController()
    const cancel = new AbortController()
    if (cluster.operation.cancelRequested) cancel.abort(new Error('cancelled'))
    const fence = leases.fence({ _id: cluster.id, epoch })
    const write = async (set: Record<string, unknown>, unset?: Record<string, ''>) => {
      if (!(await store.write(fence, set, unset))) throw new LostLease('another replica drives this operation')
    }
    const ids = { clusterId: cluster.id, operationId: cluster.operation.id, kind: cluster.operation.kind, epoch }
    const work = async () => {
      deps.log.info(ids, 'operation taken up')
      try {
        await begun(cluster)
        await drive({ ...deps, write }, { cluster, epoch, lost: lose.signal, cancelled: cancel.signal })
        deps.log.info({ ...ids, state: cluster.operation.state }, 'operation ended')
      } catch (error) {
        // What its document says is the truth: the next look takes it up from there.
        if (!lose.signal.aborted) deps.log.warn({ ...ids, err: error }, 'operation not driven on, trying again')
      }
    }
    const done = withOrigin(continueOrigin(cluster.operation.origin ?? {}), work).finally(() =>
      driven.delete(cluster.id)
    )
    driven.set(cluster.id, { epoch, lose, cancel, done })
  }

  function next(): void {
    clearTimeout(timer)
    round = round
      .then(() => detached(look))
      .finally(() => {
        if (isStopped) return
        clearTimeout(timer)
        timer = setTimeout(next, everyMs)
      })
  }

  return {
    wake: () => {
      if (timer && !isStopped) next()
    },
    start: next,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await round
      for (const one of driven.values()) one.lose.abort(new LostLease('this replica ends'))
      await Promise.all([...driven.values()].map(({ done }) => done))
      await leases.release().catch(() => undefined)
    }
  }
}
