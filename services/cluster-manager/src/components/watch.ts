import type { Cluster } from '../clusters/cluster.js'
import type { ClusterStore } from '../clusters/clusterStore.js'
import { createRounds, type Rounds } from '../rounds.js'
import { type HostLook, type LookDeps, lookAt } from './look.js'

/** How many clusters one replica asks in one round. */
const clustersAtOnce = 10

export interface WatchDeps extends LookDeps {
  store: Pick<ClusterStore, 'takeUnwatched' | 'writeLook'>
  everyMs: number
}

/** Asks the hosts of every running cluster from time to time, so that lists show their figures and who is OFFLINE. */
export function createWatch(deps: WatchDeps): Rounds {
  const { store, everyMs, now, log } = deps
  const stopping = new AbortController()
  // A host that does not answer is not waited for at the end: what others do as they stop matters more.
  const stopped = new Promise<undefined>((resolve) =>
    stopping.signal.addEventListener('abort', () => resolve(undefined), { once: true })
  )

  /** What is wrong with one cluster, a profile that is gone for one, keeps no other from being asked. */
  async function ask(cluster: Cluster): Promise<void> {
    try {
      const looks = await Promise.race([lookAt(deps, cluster), stopped])
      if (looks) await store.writeLook(cluster, toChanges(cluster, looks, now()))
    } catch (error) {
      log.warn({ err: error, clusterId: cluster.id }, 'hosts not asked, trying again')
    }
  }

  async function look(): Promise<void> {
    try {
      const clusters = await store.takeUnwatched(now(), everyMs, clustersAtOnce)
      await Promise.all(clusters.map(ask))
    } catch (error) {
      log.warn({ err: error }, 'clusters not read, trying again')
    }
  }

  const rounds = createRounds(look, Math.min(everyMs, 5_000))
  return {
    start: rounds.start,
    stop() {
      stopping.abort()
      return rounds.stop()
    }
  }
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
