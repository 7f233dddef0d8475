import { type Cluster, type HostStatus, liveHosts } from '../clusters/cluster.js'
import type { OperationState } from './operation.js'

/** What the end of an operation makes of the cluster and its hosts; written together with it. */
export function endOf(cluster: Cluster, at: number): void {
  const { operation } = cluster
  const failed = operation.hosts.filter(({ state }) => state === 'FAILED')
  const state: OperationState = operation.outcome?.state ?? (failed.length > 0 ? 'FAILED' : 'SUCCESS')
  operation.state = state
  operation.endedAt = at
  operation.message =
    operation.outcome?.message ??
    (failed.length > 0 ? `failed on ${failed.length} of ${operation.hosts.length} hosts` : 'done')
  for (const progress of operation.hosts) {
    const host = cluster.hosts.find(({ id }) => id === progress.hostId)
    const status = host && statusOf(cluster, progress.state === 'FAILED')
    if (!host || !status) continue
    host.status = status
    host.updatedAt = at
    host.message = status === 'FAILED' || status === 'TERMINATED' ? progress.message : undefined
    // Nobody logs in there again.
    if (status === 'TERMINATED') host.sealedLogin = ''
  }
  cluster.status = clusterStatus(cluster, state)
}

/** Nothing where the host stays what it was. */
function statusOf({ operation }: Cluster, hasFailed: boolean): HostStatus | undefined {
  const { kind, outcome } = operation
  if (kind === 'create') return outcome || hasFailed ? 'FAILED' : 'RUNNING'
  // Cancelled or refused as a whole: none has joined. Otherwise each for itself.
  if (kind === 'add_hosts') return outcome || hasFailed ? 'FAILED' : 'RUNNING'
  if (kind === 'delete' || kind === 'delete_hosts') return outcome || hasFailed ? 'FAILED' : 'TERMINATED'
  return undefined
}

function clusterStatus(cluster: Cluster, state: OperationState): Cluster['status'] {
  const { kind } = cluster.operation
  if (kind === 'create') return state === 'SUCCESS' ? 'RUNNING' : 'FAILED'
  if (kind === 'delete') return liveHosts(cluster).length === 0 ? 'TERMINATED' : 'FAILED'
  return 'RUNNING'
}
