import { AppError, type Caller } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { roles } from '../profiles/profile.js'
import type { Drivers } from '../providers/drivers.js'
import type { Provider } from '../providers/provider.js'
import type { ProviderStore } from '../providers/providerStore.js'
import type { Cluster, ClusterCloud, Host } from './cluster.js'
import type { ClusterDraft } from './clusters.js'
import { draftHosts } from './hostDraft.js'
import { madeHosts, newCloud, openKey } from './madeHosts.js'
import { checkAddresses, checkCounts, checkSize, countsOf, machineCounts, type NodeDrafts } from './rules.js'

/** Where the hosts of a cluster are to be made. */
export type CloudDraft = Pick<ClusterCloud, 'type' | 'providerId'>

export interface NewHostsOptions {
  secrets: Secrets
  providers: Pick<ProviderStore, 'find'>
  drivers: Pick<Drivers, 'checkSettings'>
  keyBits: number
  now: () => number
}

export type NewHosts = ReturnType<typeof createNewHosts>

/** Hosts that a request brings: given ones, or machines that a provider is still to make. Each throws an AppError. */
export function createNewHosts({ secrets, providers, drivers, keyBits, now }: NewHostsOptions) {
  async function providerOf({ type, providerId }: CloudDraft, { tenantId }: Caller): Promise<Provider> {
    const provider = await providers.find(tenantId, providerId)
    if (!provider) throw new AppError('not_found', `there is no providerId ${providerId}`, { field: 'providerId' })
    if (provider.type !== type) {
      const reason = `type is ${type}, but the provider is of the type ${provider.type}`
      throw new AppError('invalid_input', reason, { field: 'type', wireCode: 'E50012' })
    }
    drivers.checkSettings(provider)
    return provider
  }

  return {
    /** Of a new cluster. */
    async first(
      draft: ClusterDraft,
      { id, at }: { id: string; at: number },
      caller: Caller
    ): Promise<{ hosts: Host[]; cloud?: ClusterCloud }> {
      if (!draft.cloud) {
        checkCounts(draft.counts, draft.nodes)
        checkSize(draft.category, countsOf(draft.nodes))
        checkAddresses(draft.nodes)
        return { hosts: await draftHosts(draft.nodes, draft.name, secrets, at) }
      }
      const counts = machineCounts(draft.counts, draft.nodes)
      checkSize(draft.category, counts, 'Count')
      const provider = await providerOf(draft.cloud, caller)
      const { cloud, privateKey } = await newCloud({ clusterId: id, provider, keyBits }, secrets)
      return { cloud, hosts: madeHosts({ clusterName: draft.name, counts, cloud, privateKey, secrets, at }) }
    },

    /** Where the cluster has a provider, counts alone ask for machines of it. */
    async more(cluster: Cluster, counts: ClusterDraft['counts'], nodes: NodeDrafts, caller: Caller): Promise<Host[]> {
      const { id, name: clusterName, cloud } = cluster
      if (!cloud || roles.some((role) => nodes[role].length > 0)) {
        checkCounts(counts, nodes)
        checkAddresses(nodes)
        return draftHosts(nodes, clusterName, secrets, now())
      }
      const wanted = machineCounts(counts, nodes)
      await providerOf(cloud, caller)
      const privateKey = openKey(id, cloud, secrets)
      return madeHosts({ clusterName, counts: wanted, cloud, privateKey, secrets, at: now() })
    }
  }
}
