export const providerTypes = ['openstack', 'amazonec2', 'google'] as const
export type ProviderType = (typeof providerTypes)[number]

/** What the machines of one cluster share at their cloud. */
export interface MachineGroup {
  clusterId: string
  /** Of the key pair and of the rules for the network: `fleetgate-<cluster id>`. */
  name: string
  /** One OpenSSH line. */
  publicKey: string
  /** TCP ports that are reached from `from`; among themselves the machines reach every port. */
  ports: number[]
  /** CIDR. */
  from: string
}

export interface MachineSpec {
  /** Names the creation for ever: asked for twice it is one machine. Lower-case hexadecimal digits and `-`, up to 40 characters. */
  tag: string
  /** A host name. */
  name: string
  group: MachineGroup
}

export const machineStates = ['PENDING', 'RUNNING', 'STOPPED', 'FAILED', 'GONE'] as const
export type MachineState = (typeof machineStates)[number]

export interface Machine {
  /** The cloud's own. */
  id: string
  tag: string
  state: MachineState
  /** IPv4, where SSH goes; empty until the cloud has given one. */
  address: string
  /** IPv4 in the cloud's network, or empty. */
  privateAddress: string
  /** Why it is FAILED, STOPPED or GONE, in the cloud's words. */
  message: string
}

export interface Call {
  signal: AbortSignal
}

/**
 * One account at one cloud. Everything may be repeated: what is there already counts as made, what is gone as taken away. Every
 * method throws a CloudProblem, and none tries again by itself, but for an expired token. Machines are those that carry our tags; others are never seen.
 */
export interface Driver {
  /** Asks whether the log-in works and whether what the settings name is there; changes nothing. */
  validate(call: Call): Promise<void>
  /** Gives the public key to the cloud. */
  ensureKey(group: MachineGroup, call: Call): Promise<void>
  /** Opens the group's ports, unless the settings name rules of the tenant's own. */
  ensureNetworkAccess(group: MachineGroup, call: Call): Promise<void>
  /** Answers as soon as the cloud has taken the order; the machine may be PENDING, and GONE where a machine of this tag was there and is not any more. */
  create(spec: MachineSpec, call: Call): Promise<Machine>
  /** Normally none or one; where two drivers created at the same time it may be more, the oldest first. */
  find(spec: Pick<MachineSpec, 'tag' | 'name'>, call: Call): Promise<Machine[]>
  /** What a cloud still tells of a machine that is no more is GONE. */
  get(id: string, call: Call): Promise<Machine | undefined>
  /** Every machine of a cluster that is not gone. */
  list(clusterId: string, call: Call): Promise<Machine[]>
  /** Gives a running machine the address where it is reached, where the cloud does not do that by itself. */
  ensureAddress(machine: Machine, call: Call): Promise<Machine>
  /** Takes away the machine with its disk and addresses; without an id what a machine that is gone left of its tag. It may be seen for a while longer. */
  destroy(machine: Pick<Machine, 'tag'> & { id?: string }, call: Call): Promise<void>
  /** Whether this is the account where the group is: false where a machine that is not seen may be at another one. */
  isHome(group: MachineGroup, call: Call): Promise<boolean>
  /** Takes away the key and the rules; after the last machine of the group. */
  release(group: MachineGroup, call: Call): Promise<void>
}

/**
 * `throttled` and `unavailable` are worth another try, the rest is not: `credentials` (refused), `quota`, `capacity` (the cloud is
 * full), `invalid` (settings that the cloud does not take, addresses that may not be called).
 */
export type CloudProblemKind = 'credentials' | 'quota' | 'capacity' | 'throttled' | 'unavailable' | 'invalid'

/** What a cloud says no with, in words for the operator; never with a secret in them. */
export class CloudProblem extends Error {
  override readonly name = 'CloudProblem'

  constructor(
    readonly kind: CloudProblemKind,
    message: string,
    /** How long the cloud asks to wait. */
    readonly retryAfterMs?: number | undefined,
    options?: { cause?: unknown }
  ) {
    super(message, options)
  }
}

/** Names of our tags at every cloud. */
export const machineTag = 'fleetgate-machine'
export const clusterTag = 'fleetgate-cluster'

export function groupName(clusterId: string): string {
  return `fleetgate-${clusterId}`
}

/** The value of a Retry-After header: seconds or a date. */
export function retryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined || value.trim() === '') return undefined
  const seconds = Number(value)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}
