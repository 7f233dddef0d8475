import type { ClientStore } from '../clients/clientStore.js'
import type { JobStore } from '../jobs/jobStore.js'
import type { ServerMachine } from './staging.js'

export interface ServersDeps {
  clients: Pick<ClientStore, 'onlineServers' | 'hasChosenServer'>
  jobs: Pick<JobStore, 'boundAmong'>
  /** Whether the tenant lets machines serve files that call themselves SERVER. */
  selfDeclaredServers: (tenantId: string) => Promise<boolean>
}

/**
 * The SERVER machines that are online and may be asked for files, or given them, by a job. What a machine that calls itself
 * SERVER offers is run by others: none is asked where people have chosen a SERVER, or where the tenant has said so. That it is
 * bound to the job does not matter: whoever bound it may have meant a STORE.
 */
export async function serversOf(
  { clients, jobs, selfDeclaredServers }: ServersDeps,
  { tenantId, jobId }: { tenantId: string; jobId: number }
): Promise<ServerMachine[]> {
  const online = await clients.onlineServers(tenantId)
  const ids = online.map(({ clientId }) => clientId)
  const [bound, isAllowed, hasChosen] = await Promise.all([
    jobs.boundAmong(tenantId, jobId, ids).then((found) => new Set(found)),
    selfDeclaredServers(tenantId),
    clients.hasChosenServer(tenantId)
  ])
  return online
    .map(({ mqttClientId, clientId, isRoleFixed = false }) => {
      return { mqttClientId, isBound: bound.has(clientId), isChosen: isRoleFixed }
    })
    .filter(({ isChosen }) => isChosen || (isAllowed && !hasChosen))
}

/** Those that people chose first, then those bound to the job, then by name. */
export function inOrder(servers: readonly ServerMachine[]): ServerMachine[] {
  return [...servers].sort((a, b) => rank(a) - rank(b) || (a.mqttClientId < b.mqttClientId ? -1 : 1))
}

function rank({ isChosen, isBound }: ServerMachine): number {
  return (isChosen ? 0 : 2) + (isBound ? 0 : 1)
}
