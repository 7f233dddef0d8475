import { AppError, type Caller, currentOrigin } from '@fleetgate/kit'
import type { Beginning } from '../clusters/beginning.js'
import type { Cluster, Host } from '../clusters/cluster.js'
import type { Change, ClusterStore } from '../clusters/clusterStore.js'
import { cancellable, type Operation, type OperationKind } from './operation.js'

export interface OperationsOptions {
  store: ClusterStore
  beginning: Beginning
  wake: () => void
  now: () => number
}

export type Operations = ReturnType<typeof createOperations>

/** What one may do with an operation: look, cancel, do again. */
export function createOperations({ store, beginning, wake, now }: OperationsOptions) {
  async function get(id: string, caller: Caller): Promise<{ cluster: Cluster; operation: Operation }> {
    const found = await store.findOperation(caller.tenantId, id)
    if (!found) throw new AppError('not_found', 'there is no such operation')
    return found
  }

  return {
    get,

    /** What was to join hosts is taken back; another change stays where it is. Not for what takes hosts away: that can only be finished. */
    async cancel(id: string, caller: Caller): Promise<Operation> {
      const { operation } = await get(id, caller)
      if (!cancellable.has(operation.kind)) {
        throw new AppError('invalid_state', `an operation of the kind ${operation.kind} cannot be cancelled`)
      }
      if (!(await store.requestCancel(caller.tenantId, id)))
        throw new AppError('invalid_state', 'this operation has ended')
      wake()
      return { ...operation, cancelRequested: true }
    },

    /** Does the last operation of a cluster again, where it failed or was cancelled, as a further attempt of the same one. */
    async retry(id: string, caller: Caller): Promise<Operation> {
      const { cluster, operation } = await get(id, caller)
      if (cluster.operation.id !== id)
        throw new AppError('invalid_state', 'this is not the last operation of its cluster')
      if (operation.state !== 'FAILED' && operation.state !== 'CANCELLED') {
        throw new AppError('invalid_state', `an operation that is ${operation.state} is not done again`)
      }
      const again = againOf(operation, cluster.hosts, caller, now())
      const change: Change = { status: statusDuring[operation.kind], hosts: reopened(cluster, again) }
      await beginning.write(cluster, again, change, caller)
      return again
    }
  }
}

const statusDuring: Record<OperationKind, Cluster['status']> = {
  create: 'INSTALLING',
  add_hosts: 'MODIFYING',
  delete_hosts: 'MODIFYING',
  delete: 'TERMINATING',
  pubkeys: 'MODIFYING',
  registries: 'MODIFYING',
  apply: 'MODIFYING'
}

/** Only hosts that are still there, and of those that joined already none again. */
function againOf(operation: Operation, hosts: Host[], { userId, email }: Caller, at: number): Operation {
  const isLive = (id: string) => hosts.some((host) => host.id === id && host.status !== 'TERMINATED')
  const isAll = operation.kind !== 'add_hosts'
  const again = operation.hosts.filter(
    ({ hostId, state }) => isLive(hostId) && (isAll || state === 'FAILED' || operation.outcome)
  )
  const { outcome: _outcome, endedAt: _endedAt, ...rest } = operation
  return {
    ...rest,
    state: 'RUNNING',
    attempt: operation.attempt + 1,
    phases: [],
    problems: [],
    message: '',
    cancelRequested: false,
    hosts: again.map((host) => ({ ...host, phase: '', state: 'WAITING', message: '' })),
    by: { userId, name: email },
    origin: currentOrigin(),
    againAt: at,
    updatedAt: at
  }
}

function reopened(cluster: Cluster, { kind, hosts }: Operation): Host[] {
  const ids = new Set(hosts.map(({ hostId }) => hostId))
  const status =
    kind === 'create' || kind === 'add_hosts'
      ? 'INSTALLING'
      : kind === 'delete' || kind === 'delete_hosts'
        ? 'TERMINATING'
        : undefined
  return cluster.hosts.map((host) => (status && ids.has(host.id) ? { ...host, status } : host))
}
