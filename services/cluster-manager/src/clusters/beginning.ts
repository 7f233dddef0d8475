import { AppError, type Caller, currentOrigin } from '@fleetgate/kit'
import { newHexId } from '../linkerFields.js'
import { newOperation, type Operation, type OperationKind } from '../operations/operation.js'
import { plain } from '../operations/progress.js'
import type { Cluster, Host } from './cluster.js'
import type { Change, ClusterStore } from './clusterStore.js'

export interface BeginningOptions {
  store: ClusterStore
  /** An operation has begun, or is to be cancelled. */
  wake: () => void
  now: () => number
}

/** What a request begins: the kind, the hosts it works on, and what of the cluster changes with it. */
export interface Begin {
  kind: OperationKind
  hosts: Host[]
  change: Change
  released?: string[]
}

export type Beginning = ReturnType<typeof createBeginning>

/** The one way to change a cluster: an operation begins in the same write that changes its status. */
export function createBeginning({ store, wake, now }: BeginningOptions) {
  async function get(id: string, caller: Caller): Promise<Cluster> {
    const found = await store.find(caller.tenantId, id)
    if (!found) throw new AppError('not_found', 'there is no such cluster')
    return found
  }

  /** Writes the beginning; refuses where the cluster is not as it was read. */
  async function write(cluster: Cluster, operation: Operation, change: Change, caller: Caller): Promise<void> {
    if (!(await store.begin(plain(cluster), plain(operation), plain(change)))) throw busy(await get(cluster.id, caller))
    wake()
  }

  return {
    get,
    write,

    async running(id: string, caller: Caller): Promise<Cluster> {
      const cluster = await get(id, caller)
      if (cluster.status !== 'RUNNING') throw busy(cluster)
      return cluster
    },

    async begin(cluster: Cluster, { kind, hosts, change, released = [] }: Begin, caller: Caller): Promise<Cluster> {
      const at = now()
      const by = { userId: caller.userId, name: caller.email }
      const operation = newOperation({ id: newHexId(at), kind, by, origin: currentOrigin(), hosts, released }, at)
      await write(cluster, operation, change, caller)
      return { ...cluster, ...change, operation, updatedAt: at }
    }
  }
}

function busy({ status }: Cluster): AppError {
  return new AppError('invalid_state', `the cluster is ${status}: this needs one that is RUNNING`, {
    wireCode: 'E50016'
  })
}
