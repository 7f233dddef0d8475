import type { RunningService, Session, Teardown } from '@fleetgate/testkit'
import type { ProviderType } from '../src/providers/driver.js'
import { envOf, letHosts, startCloud } from './clouds/index.js'
import { type ClusterView, startProcesses } from './clusterSupport.js'
import type { Reply } from './support.js'

/** A service that can be killed, with a provider at a cloud whose machines are test hosts. */
export async function startProvider(t: Teardown, type: ProviderType, count: number) {
  const cloud = await startCloud(t, type)
  const env = { ...envOf(cloud), MACHINE_POLL_MS: '100', MACHINE_MS: '60000' }
  const { hosts, services, sessionOf } = await startProcesses(t, { count, env })
  letHosts(cloud, hosts)
  const service = services[0] as RunningService
  const api = sessionOf(service)
  const body = { name: type, type, sshUser: 'root', sshPort: hosts.hosts[0]?.port, ...cloud.infos }
  const made = await api.post<Reply<{ _id: string }>>('/v1/provider', body)
  if (made.status !== 200) throw new Error(made.text)
  return { cloud, service, api, providerId: made.body.data._id }
}

export async function begin(api: Session, type: ProviderType, providerId: string): Promise<ClusterView> {
  const counts = { masterCount: 1, sharedCount: 1 }
  const body = { name: 'cloud', profile: 'nats', type, providerId, createCategory: 'compact', ...counts }
  const reply = await api.post<Reply<ClusterView>>('/v1/cluster', body)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

/** Begins to delete it. */
export async function gone(api: Session, id: string): Promise<void> {
  const reply = await api.delete(`/v1/cluster/${id}`)
  if (reply.status !== 200) throw new Error(reply.text)
}
