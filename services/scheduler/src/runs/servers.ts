import type { ClientStore } from '../clients/clientStore.js'
import type { JobStore } from '../jobs/jobStore.js'
import type { ServerMachine } from './staging.js'

export interface ServersDeps {
  clients: Pick<ClientStore, 'onlineServers'>
  jobs: Pick<JobStore, 'boundAmong'>
}

/** The SERVER machines that are online, and which of them are bound to the job. */
export async function serversOf(
  { clients, jobs }: ServersDeps,
  { tenantId, jobId }: { tenantId: string; jobId: number }
): Promise<ServerMachine[]> {
  const online = await clients.onlineServers(tenantId)
  const ids = online.map(({ clientId }) => clientId)
  const bound = new Set(await jobs.boundAmong(tenantId, jobId, ids))
  return online.map(({ mqttClientId, clientId }) => ({ mqttClientId, isBound: bound.has(clientId) }))
}

/** Those bound to the job first, then by name. */
export function inOrder(servers: readonly ServerMachine[]): ServerMachine[] {
  return [...servers].sort(
    (a, b) => Number(b.isBound) - Number(a.isBound) || (a.mqttClientId < b.mqttClientId ? -1 : 1)
  )
}
