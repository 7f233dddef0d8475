import { createHash } from 'node:crypto'
import type { Cluster } from '../clusters/cluster.js'
import type { Logs, OperateType } from '../logs/log.js'
import type { Usage } from '../usage.js'
import type { Operation, OperationKind } from './operation.js'

const words: Record<OperationKind, OperateType> = {
  create: 'create_cluster',
  delete: 'delete_cluster',
  add_hosts: 'add_hosts',
  delete_hosts: 'delete_hosts',
  pubkeys: 'change_pubkeys',
  registries: 'change_registries',
  apply: 'apply_cluster'
}

/** The entry of an attempt in the log: written as it begins and again as it ends. */
export function entryOf({ id, name, tenantId, operation }: Cluster) {
  const { kind, state, outcome, createdAt, againAt = createdAt } = operation
  const isHosts = kind === 'add_hosts' || kind === 'delete_hosts'
  const isOver = state !== 'RUNNING'
  // The words of the original: what failed was the machine, or what was to run on it. What was undone since adds its own problems.
  const failure = /^(?:verify|addons): /.test(operation.problems[0]?.message ?? '')
    ? 'systemComponent_failed'
    : 'installation_failed'
  const comments =
    state === 'CANCELLED'
      ? 'cancelled'
      : isOver && state !== 'SUCCESS'
        ? `${failure}: ${outcome?.message ?? operation.message}`
        : ''
  return {
    id: entryIdOf(operation),
    tenantId,
    userId: operation.by.userId,
    userName: operation.by.name,
    clusterId: id,
    clusterName: name,
    operateType: words[kind],
    queryType: isHosts ? ('host' as const) : ('cluster' as const),
    status: !isOver ? ('start' as const) : state === 'SUCCESS' ? ('success' as const) : ('fail' as const),
    comments,
    createdAt: againAt
  }
}

/** The operation's own for its first attempt; made of both for others, so that each is one entry whoever writes it, in the form of ids. */
function entryIdOf({ id, attempt }: Operation): string {
  return attempt === 1 ? id : createHash('sha256').update(`${id}.${attempt}`).digest('hex').slice(0, id.length)
}

export interface SettleDeps {
  logs: Logs
  keys: Usage
  registries: Usage
  providers: Usage
  /** Tells people. */
  notify: (cluster: Cluster) => Promise<void>
}

/** Everything that an operation means beyond the cluster's own document. Repeats do no harm. */
export function createSettle({ logs, keys, registries, providers, notify }: SettleDeps) {
  return async (cluster: Cluster): Promise<void> => {
    const { tenantId, id, operation, status } = cluster
    if (status === 'TERMINATED') {
      await keys.release(tenantId, cluster.pubkeys, id, Number.POSITIVE_INFINITY)
      await registries.release(tenantId, cluster.registries, id, Number.POSITIVE_INFINITY)
      const used = cluster.cloud ? [cluster.cloud.providerId] : []
      await providers.release(tenantId, used, id, Number.POSITIVE_INFINITY)
    } else {
      // What a later operation gave back is not taken: a driver that was held up may come here when that has begun.
      const gone = (kept: string[]) => operation.released.filter((one) => !kept.includes(one))
      if (operation.kind === 'pubkeys') await keys.release(tenantId, gone(cluster.pubkeys), id, operation.createdAt)
      if (operation.kind === 'registries')
        await registries.release(tenantId, gone(cluster.registries), id, operation.createdAt)
    }
    await logs.put(entryOf(cluster))
    await notify(cluster)
  }
}
