import type { Operation } from '../operations/operation.js'
import type { Category, Role } from '../profiles/profile.js'
import type { ProviderType } from '../providers/driver.js'
import type { ClusterOptions } from './options.js'

export const clusterStatuses = ['INSTALLING', 'RUNNING', 'MODIFYING', 'FAILED', 'TERMINATING', 'TERMINATED'] as const
export type ClusterStatus = (typeof clusterStatuses)[number]
export const hostStatuses = ['INSTALLING', 'RUNNING', 'FAILED', 'TERMINATING', 'TERMINATED', 'OFFLINE'] as const
export type HostStatus = (typeof hostStatuses)[number]

/** As the host itself counts: `used/all`. Empty until it was asked. */
export interface Figures {
  cpu: string
  memory: string
  gpu: string
  task: number
}

/** The machine of a host that a provider makes. */
export interface HostMachine {
  /** Part of the tag by which the cloud knows it: one higher for each machine that was taken away. */
  serial: number
  /** The cloud's own; absent until its creation was recorded. */
  id?: string
}

/** Where the machines of a cluster are made. */
export interface ClusterCloud {
  providerId: string
  type: ProviderType
  /** One OpenSSH line; the private half is sealed. */
  publicKey: string
  sealedKey: string
  user: string
  sshPort: number
}

export interface Host {
  id: string
  name: string
  role: Role
  status: HostStatus
  /** Empty for a machine that is still to be made. */
  ip: string
  privateIp: string
  port: number
  user: string
  nic: string
  /** The computer's own name, as preflight was last told. */
  hostname?: string | undefined
  bastion?: { ip: string; port: number; user: string } | undefined
  /** Key, opened, password, and those of the bastion: sealed. Empty once the host is gone. */
  sealedLogin: string
  /** Pinned at the first connection. */
  hostKey?: string | undefined
  bastionKey?: string | undefined
  /** Of a master: SHA-256 of the authority by which those that join know its servers. */
  authority?: string | undefined
  /** Absent for hosts that were given to us: those are never taken away. */
  machine?: HostMachine | undefined
  /** Something of the cluster may be on it. */
  isTouched: boolean
  figures: Figures
  /** Why it is FAILED or OFFLINE. */
  message?: string | undefined
  createdAt: number
  updatedAt: number
}

/** A cluster with its hosts and the operation that changes it: one document, so that each step is one write. */
export interface Cluster {
  id: string
  tenantId: string
  userId: string
  owner: string
  name: string
  profile: string
  category: Category
  status: ClusterStatus
  /** Absent where all hosts were given. */
  cloud?: ClusterCloud | undefined
  hosts: Host[]
  /** Ids. */
  pubkeys: string[]
  registries: string[]
  sealedSecrets: string
  options: ClusterOptions
  /** The last operation, at work or ended. */
  operation: Operation
  createdAt: number
  updatedAt: number
}

/** Hosts that are, or may be, something other than gone. */
export function liveHosts(cluster: Cluster): Host[] {
  return cluster.hosts.filter(({ status }) => status !== 'TERMINATED')
}

/** Hosts that carry what the cluster says: on one that FAILED nothing is to be, and what may be left there goes with it. */
export function joinedHosts(cluster: Cluster): Host[] {
  return liveHosts(cluster).filter(({ status }) => status !== 'FAILED')
}

/**
 * Where no other cluster of the tenant may have a host, or the address of its API. Addresses of machines that we make are the
 * clouds' to give, and to give again: those hosts count by their ids.
 */
export function addressesOf({ hosts, options }: Pick<Cluster, 'hosts' | 'options'>): string[] {
  const live = hosts.filter(({ status }) => status !== 'TERMINATED')
  const own = live.map(({ id, ip, machine }) => (machine ? `machine:${id}` : ip))
  return options.apiAddress ? [...own, options.apiAddress] : own
}

/** Hosts that are to serve from now on: not those that go, or that fail to join in this operation. */
function servingHosts({ hosts, operation }: Cluster): Host[] {
  const failed = new Set(operation.hosts.flatMap(({ hostId, state }) => (state === 'FAILED' ? [hostId] : [])))
  return hosts.filter(
    ({ id, status }) => status === 'RUNNING' || status === 'OFFLINE' || (status === 'INSTALLING' && !failed.has(id))
  )
}

/** Hosts where traffic comes in: those with the tag `lb=enable`. */
export function ingressHosts(cluster: Cluster): Host[] {
  return servingHosts(cluster).filter(({ role }) => role === 'shared')
}

/** The host that keeps watch over the cluster, where that is asked for: the first that is no master, so that new ones change nothing. */
export function monitorOf(cluster: Cluster): Host | undefined {
  if (!cluster.options.monitoring) return undefined
  return servingHosts(cluster).find(({ role }) => role !== 'master')
}

export function mastersOf(cluster: Cluster): Host[] {
  return liveHosts(cluster).filter(({ role }) => role === 'master')
}

/** Whom hosts join: the first master that is at work or about to be; where there is none, the first that is not gone. */
export function leaderOf(cluster: Cluster): Host | undefined {
  const masters = mastersOf(cluster)
  return masters.find(({ status }) => status === 'RUNNING' || status === 'INSTALLING') ?? masters[0]
}

/** Where a cluster's hosts talk to each other. */
export function innerAddress(host: Host): string {
  return host.privateIp || host.ip
}

export const noFigures: Figures = { cpu: '', memory: '', gpu: '', task: 0 }
