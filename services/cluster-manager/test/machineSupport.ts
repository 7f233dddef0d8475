import type { Cluster, Host } from '../src/clusters/cluster.js'
import { createMachines, type Limits, type Machines } from '../src/machines/machines.js'
import { newOperation } from '../src/operations/operation.js'
import { createProgress } from '../src/operations/progress.js'
import type { Driver, ProviderType } from '../src/providers/driver.js'
import { clusterId } from './clouds/conformance.js'

export function newHost(at: number): Host {
  const id = `59bb43f8284ae3000bf6640${at}`
  return {
    id,
    name: `h-0000000${at}-till`,
    role: 'shared',
    status: 'INSTALLING',
    ip: '',
    machine: { serial: 1 }
  } as Host
}

/** A cluster as its document says, with the operation that makes these hosts. */
export function newDocument(type: ProviderType, publicKey: string, hosts: Host[]): Cluster {
  const operation = newOperation({ id: '0'.repeat(24), kind: 'create', by: { userId: 'ann', name: 'ann' }, hosts }, 1)
  const at = { providerId: '1'.repeat(24), type, publicKey, sealedKey: '', user: 'root', sshPort: 22 }
  return { id: clusterId, status: 'INSTALLING', cloud: at, options: {}, hosts, operation } as unknown as Cluster
}

export interface Drive {
  machines: Machines
  cluster: Cluster
  /** As it was last written. */
  kept: () => Cluster
}

interface DriveOptions {
  /** Whether a write comes through. */
  isWritten?: () => boolean
  reach?: (host: Host) => Promise<void>
  pollMs?: number
}

/** One driver of the operation, on a document as it was left. */
export function drive(
  driver: Driver,
  document: Cluster,
  { isWritten = () => true, reach = async () => {}, pollMs = 5 }: DriveOptions = {}
): Drive {
  let kept = structuredClone(document)
  const cluster = structuredClone(document)
  const progress = createProgress({
    cluster,
    async write(set) {
      if (!isWritten()) throw new Error('killed')
      kept = { ...kept, hosts: structuredClone(set.hosts) as Host[] }
    },
    now: Date.now
  })
  const machines = createMachines({
    cluster,
    ports: [1883],
    progress,
    runner: { reach },
    open: async () => driver,
    settings: { withinMs: 30_000, pollMs, from: '0.0.0.0/0' },
    lost: new AbortController().signal,
    now: Date.now
  })
  return { machines, cluster, kept: () => kept }
}

export const limits = (ms = 30_000): Limits => ({ signal: new AbortController().signal, until: Date.now() + ms })
