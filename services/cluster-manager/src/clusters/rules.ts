import { AppError } from '@fleetgate/kit'
import type { HostSecrets } from '../hosts/hostRunner.js'
import { type Category, type Profile, type Role, roles } from '../profiles/profile.js'
import type { KeyReader } from '../ssh/keyReader.js'
import { type Cluster, type Host, liveHosts, mastersOf } from './cluster.js'

/** How to log in: as nodes of a request carry it. */
export interface LoginDraft {
  ip: string
  sshPort: number
  sshUser: string
  privateKey?: string | undefined
  passphrase?: string | undefined
  password?: string | undefined
  hostKey?: string | undefined
}

export interface NodeDraft extends LoginDraft {
  privateNicName: string
  bastion?: LoginDraft | undefined
}

export type NodeDrafts = Record<Role, NodeDraft[]>

const smallest: Record<Category, { nodes: number; shared: number; masters: readonly number[] }> = {
  compact: { nodes: 2, shared: 1, masters: [1] },
  ha: { nodes: 5, shared: 2, masters: [3, 5] }
}

/** Counts that are given must be those of the lists. */
export function checkCounts(counts: Partial<Record<Role, number | undefined>>, nodes: NodeDrafts): void {
  for (const role of roles) {
    const count = counts[role]
    if (count !== undefined && count !== nodes[role].length) {
      throw badNumber(`${role}Count`, `${role}Count is ${count}, but ${nodes[role].length} ${role}Nodes are given`)
    }
  }
}

export function countsOf(nodes: NodeDrafts): Record<Role, number> {
  return { master: nodes.master.length, shared: nodes.shared.length, pureslave: nodes.pureslave.length }
}

const mostMachines = 200

/** How many machines a request asks a provider for; hosts that are there already do not go with them. */
export function machineCounts(
  counts: Partial<Record<Role, number | undefined>>,
  nodes: NodeDrafts
): Record<Role, number> {
  for (const role of roles) {
    if (nodes[role].length > 0) {
      const field = `${role}Nodes`
      throw new AppError('invalid_input', `${field} must be empty where a provider makes the machines`, { field })
    }
    if ((counts[role] ?? 0) > mostMachines) throw badNumber(`${role}Count`, `${role}Count is over ${mostMachines}`)
  }
  return { master: counts.master ?? 0, shared: counts.shared ?? 0, pureslave: counts.pureslave ?? 0 }
}

/** A document holds 16 MB; beside the hosts it has what operations said of each. */
const mostBytes = 8_000_000

/** Throws where a cluster would have more hosts, or longer log-ins, than its document can hold. */
export function checkRoom(hosts: readonly Host[]): void {
  if (Buffer.byteLength(JSON.stringify(hosts)) > mostBytes)
    throw badNumber('sharedNodes', `${hosts.length} hosts with their log-ins are more than one cluster can hold`)
}

/** The sizes that a category needs; and a master must be countable: three keep going without one of them. */
export function checkSize(category: Category, counts: Record<Role, number>, noun: 'Nodes' | 'Count' = 'Nodes'): void {
  const { nodes: least, shared, masters } = smallest[category]
  const total = counts.master + counts.shared + counts.pureslave
  if (!masters.includes(counts.master)) {
    throw badNumber(`master${noun}`, `a ${category} cluster has ${masters.join(' or ')} masters, not ${counts.master}`)
  }
  if (counts.shared < shared)
    throw badNumber(`shared${noun}`, `a ${category} cluster needs ${shared} shared nodes or more`)
  if (total < least) throw badNumber(`shared${noun}`, `a ${category} cluster needs ${least} nodes or more`)
}

/** What stays must still be a cluster; a host that does not run anyway may always go. */
export function checkRemoval(cluster: Cluster, ids: ReadonlySet<string>, profile: Profile | undefined): Host[] {
  const going = liveHosts(cluster).filter(({ id }) => ids.has(id))
  const missing = [...ids].find((id) => !going.some((host) => host.id === id))
  if (missing)
    throw new AppError('not_found', `the cluster has no host ${missing}`, { field: 'host_ids', wireCode: 'E50104' })
  if (going.some(({ role }) => role === 'master')) checkMasters(cluster, ids, profile)
  const running = (host: Host) => host.status === 'RUNNING'
  const staying = liveHosts(cluster).filter((host) => running(host) && !ids.has(host.id))
  const { nodes, shared } = smallest[cluster.category]
  const sharedLeft = staying.filter(({ role }) => role === 'shared').length
  if (going.some(running) && (staying.length < nodes || sharedLeft < shared)) {
    const least = `${nodes} running hosts, ${shared} of them shared`
    throw new AppError('invalid_state', `too few hosts would stay: a ${cluster.category} cluster needs ${least}`, {
      field: 'host_ids',
      wireCode: 'E50018'
    })
  }
  return going
}

/**
 * Masters decide by majority: an odd number of them stays, all running, so that those who go are outvoted and what is left can
 * lose one again. In the original none could go at all.
 */
function checkMasters(cluster: Cluster, ids: ReadonlySet<string>, profile: Profile | undefined): void {
  const staying = mastersOf(cluster).filter(({ id }) => !ids.has(id))
  const { masters } = smallest[cluster.category]
  const isCluster = masters.includes(staying.length) && staying.every(({ status }) => status === 'RUNNING')
  if (profile?.removesMasters && isCluster) return
  const reason = profile?.removesMasters
    ? `${masters.join(' or ')} masters must stay, all of them running`
    : `masters of ${cluster.profile} cannot be removed`
  throw new AppError('invalid_state', reason, { field: 'host_ids', wireCode: 'E50105' })
}

/** Throws for an address that stands twice in one request. */
export function checkAddresses(nodes: NodeDrafts): void {
  const seen = new Set<string>()
  for (const { ip } of [...nodes.master, ...nodes.shared, ...nodes.pureslave]) {
    if (seen.has(ip))
      throw new AppError('conflict', `the address ${ip} stands there twice`, { field: 'ip', wireCode: 'E50019' })
    seen.add(ip)
  }
}

/** What opens the host, checked as far as that goes without it. */
export async function readLogin(node: NodeDraft, field: string, keys: KeyReader): Promise<HostSecrets> {
  const own = await readOne(node, field, keys)
  return node.bastion ? { ...own, bastion: await readOne(node.bastion, `${field}.bastion`, keys) } : own
}

async function readOne(
  { privateKey, passphrase, password }: LoginDraft,
  field: string,
  keys: KeyReader
): Promise<Omit<HostSecrets, 'bastion'>> {
  if (!privateKey && !password) {
    throw new AppError('invalid_input', `${field}.privateKey or password is required`, { field: `${field}.privateKey` })
  }
  if (!privateKey) return { password }
  try {
    return { privateKey: await keys.read(privateKey, passphrase), password }
  } catch (cause) {
    const reason = (cause as Error).message
    throw new AppError('invalid_input', `${field}.privateKey ${reason}`, { field: `${field}.privateKey` }, { cause })
  }
}

function badNumber(field: string, message: string): AppError {
  return new AppError('invalid_input', message, { field, wireCode: 'E50010' })
}
