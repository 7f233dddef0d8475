import type { Cluster } from '../clusters/cluster.js'
import type { ClusterStore } from '../clusters/clusterStore.js'
import { createRounds, type Rounds } from '../rounds.js'
import { type HostLook, type LookDeps, lookAt } from './look.js'

/** How many clusters one replica asks in one round. */
const clustersAtOnce = 10

/** Asks the hosts of every running cluster from time to time, so that lists show their figures and who is OFFLINE. */
export function createWatch(deps: LookDeps & { store: ClusterStore; everyMs: number }): Rounds {
  const { store, everyMs, now, log } = deps

  async function look(): Promise<void> {
    try {
      const clusters = await store.takeUnwatched(now(), everyMs, clustersAtOnce)
      for (const cluster of clusters)
        await store.writeLook(cluster, toChanges(cluster, await lookAt(deps, cluster), now()))
    } catch (error) {
      log.warn({ err: error }, 'hosts not asked, trying again')
    }
  }

  return createRounds(look, Math.min(everyMs, 5_000))
}

/** Only what differs, by the place of the host in the document. */
export function toChanges(cluster: Cluster, looks: readonly HostLook[], at: number): Record<string, unknown> {
  const changes: Record<string, unknown> = {}
  for (const { host, isThere, figures } of looks) {
    const path = `hosts.${cluster.hosts.indexOf(host)}`
    const status = isThere ? 'RUNNING' : 'OFFLINE'
    if (figures) changes[`${path}.figures`] = figures
    if (status === host.status) continue
    changes[`${path}.status`] = status
    changes[`${path}.message`] = isThere ? '' : 'the host cannot be reached'
    changes[`${path}.updatedAt`] = at
  }
  return changes
}
