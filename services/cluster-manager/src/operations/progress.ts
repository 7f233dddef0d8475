import { addressesOf, type Cluster, type Host } from '../clusters/cluster.js'
import type { HostProgress, ProgressState } from './operation.js'

/** Writes for the holder of the lease; rejects with LostLease where that is another by now. */
export type WriteProgress = (set: Record<string, unknown>, unset?: Record<string, ''>) => Promise<void>

export class LostLease extends Error {
  override readonly name = 'LostLease'
}

/** The document of the operation at work, kept in step with what happens. */
export interface Progress {
  isDone(phase: string): boolean
  begin(phase: string): Promise<void>
  end(phase: string): Promise<void>
  host(id: string): HostProgress | undefined
  enter(hostId: string, phase: string, state: ProgressState): void
  leave(hostId: string, state: ProgressState, message?: string): void
  say(hostId: string, message: string): void
  /** A machine has an address. */
  place(hostId: string, ip: string): void
  pin(host: Host, keys: { hostKey: string; bastionKey?: string | undefined }): void
  save(): Promise<void>
  /** Writes the end: nothing is open any more. */
  close(): Promise<void>
  stop(): void
}

/** What hosts say on the way is written together, so many hosts do not make as many writes. */
const gatherMs = 150

export function createProgress({
  cluster,
  write,
  now
}: {
  cluster: Cluster
  write: WriteProgress
  now: () => number
}): Progress {
  const { operation } = cluster
  let timer: NodeJS.Timeout | undefined
  let last: Promise<void> = Promise.resolve()
  let isStopped = false

  function content(): Record<string, unknown> {
    operation.updatedAt = now()
    const { phases, hosts, problems, message, state, outcome, endedAt, updatedAt } = operation
    return {
      ...Object.fromEntries(
        Object.entries({ phases, hosts, problems, message, state, outcome, endedAt, updatedAt }).flatMap(
          ([key, value]) => (value === undefined ? [] : [[`operation.${key}`, value]])
        )
      ),
      hosts: cluster.hosts,
      status: cluster.status,
      updatedAt
    }
  }

  function save(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    last = last.catch(() => undefined).then(() => write(plain(content())))
    return last
  }

  /** A write that fails is made up for by the next, and the end of the phase waits for one. */
  function saveSoon(): void {
    // A host that is reached only now: the document may be at its next operation.
    if (isStopped) return
    timer ??= setTimeout(() => void save().catch(() => undefined), gatherMs)
  }

  function change(hostId: string, set: Partial<HostProgress>): void {
    const found = operation.hosts.find((host) => host.hostId === hostId)
    if (found) Object.assign(found, set)
    saveSoon()
  }

  return {
    isDone: (phase) => operation.phases.some(({ name, state }) => name === phase && state === 'DONE'),
    host: (id) => operation.hosts.find(({ hostId }) => hostId === id),
    async begin(name) {
      if (!operation.phases.some((phase) => phase.name === name)) {
        operation.phases.push({ name, state: 'RUNNING', startedAt: now() })
      }
      await save()
    },
    async end(name) {
      const isOver = operation.outcome && !name.startsWith('undo')
      for (const phase of operation.phases) {
        if (phase.name === name) Object.assign(phase, { state: isOver ? 'FAILED' : 'DONE', endedAt: now() })
      }
      await save()
    },
    enter: (hostId, phase, state) => change(hostId, { phase, state }),
    leave: (hostId, state, message) => change(hostId, message === undefined ? { state } : { state, message }),
    say: (hostId, message) => change(hostId, { message: message.slice(0, 200) }),
    place: (hostId, ip) => change(hostId, { ip }),
    pin(host, { hostKey, bastionKey }) {
      const pinned = cluster.hosts.find(({ id }) => id === host.id)
      if (pinned) Object.assign(pinned, { hostKey, ...(bastionKey ? { bastionKey } : {}) })
      saveSoon()
    },
    save,
    async close() {
      clearTimeout(timer)
      await last.catch(() => undefined)
      const isLive = cluster.status !== 'TERMINATED'
      const addresses = addressesOf(cluster)
      await write(plain({ ...content(), live: isLive, addresses }), { open: '' })
    },
    stop() {
      isStopped = true
      clearTimeout(timer)
      timer = undefined
    }
  }
}

/** Absent fields stay absent: the driver would write them as null. */
export function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}
