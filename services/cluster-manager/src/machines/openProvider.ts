import type { Cluster } from '../clusters/cluster.js'
import type { Driver } from '../providers/driver.js'
import type { Drivers } from '../providers/drivers.js'
import type { ProviderStore } from '../providers/providerStore.js'
import { HostProblem } from '../ssh/problem.js'

export interface OpenProviderDeps {
  providers: Pick<ProviderStore, 'find'>
  drivers: Pick<Drivers, 'open'>
}

/** The driver of a cluster's provider, as that is now: what was changed meanwhile, a new password for one, counts. */
export async function openProvider({ providers, drivers }: OpenProviderDeps, cluster: Cluster): Promise<Driver> {
  const { cloud, tenantId } = cluster
  const provider = cloud && (await providers.find(tenantId, cloud.providerId))
  if (!provider) throw new HostProblem('refused', 'the provider of the cluster is gone')
  if (provider.type !== cloud.type) {
    throw new HostProblem(
      'refused',
      `the provider is of the type ${provider.type} by now; the machines are at ${cloud.type}`
    )
  }
  return drivers.open(provider)
}
