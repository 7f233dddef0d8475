import type { Cluster, Host, HostMachine } from '../clusters/cluster.js'
import { groupName, type Machine, type MachineGroup } from '../providers/driver.js'

/** Throws for a host that was given to us. */
export function machineOf({ machine, name }: Host): HostMachine {
  if (!machine) throw new Error(`${name} is no machine of a provider`)
  return machine
}

/** What its creation is known by at the cloud, and its name there. After a machine was taken away the next one of the host is another. */
export function namesOf(host: Host): { tag: string; name: string } {
  const { serial } = machineOf(host)
  return { tag: `${host.id}-${serial}`, name: serial === 1 ? host.name : `${host.name}-${serial}` }
}

/** `from` is the CIDR that the ports are reached from, SSH among them. */
export function groupOf({ id: clusterId, cloud }: Cluster, ports: readonly number[], from: string): MachineGroup {
  const open = [...new Set([cloud?.sshPort ?? 22, ...ports])]
  return { clusterId, name: groupName(clusterId), publicKey: cloud?.publicKey ?? '', ports: open, from }
}

export function isUsable({ state }: Machine): boolean {
  return state === 'PENDING' || state === 'RUNNING'
}
