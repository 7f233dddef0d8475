import { AppError, type Log } from '@fleetgate/kit'
import type { Cluster } from '../clusters/cluster.js'
import { createHostRunner, type HostRunnerOptions } from '../hosts/hostRunner.js'
import type { Shared } from '../hosts/input.js'
import type { Machines, MachinesDeps } from '../machines/machines.js'
import { endOf } from './ending.js'
import { planOf } from './operation.js'
import { createPhases, type Phases } from './phase.js'
import { createProgress, type WriteProgress } from './progress.js'
import { undoingOf } from './undoing.js'

export interface DriveDeps {
  /** Everything the hosts must know; throws a plain Error with a reason for the operator. */
  shared: (cluster: Cluster) => Promise<Shared>
  runner: Pick<HostRunnerOptions, 'secrets' | 'settings'>
  write: WriteProgress
  /** The machines of a cluster, for one drive of its operation. */
  machines: (input: Pick<MachinesDeps, 'cluster' | 'ports' | 'progress' | 'runner' | 'lost'>) => Machines
  /** Idempotent: what an ended operation means beyond the cluster's own document. */
  settle: (cluster: Cluster) => Promise<void>
  now: () => number
  log: Log
}

export interface DriveInput {
  cluster: Cluster
  epoch: number
  /** Aborted where the lease is lost: another replica drives on. */
  lost: AbortSignal
  /** Aborted where a person asked to cancel. */
  cancelled: AbortSignal
}

/** Drives an operation on from what its document says, to its end. Rejects where the lease is lost. */
export async function drive(deps: DriveDeps, input: DriveInput): Promise<void> {
  const { cluster, lost, cancelled } = input
  const progress = createProgress({ cluster, write: deps.write, now: deps.now })
  const runner = createHostRunner({ ...deps.runner, onKeys: progress.pin })
  const { operation } = cluster

  try {
    const shared = await deps.shared(cluster).catch(async (error: Error) => {
      // A database that is away comes back; a secret that does not open would be tried for ever.
      if (error instanceof AppError && error.code !== 'internal') throw error
      operation.outcome ??= { state: 'FAILED', message: error.message }
      // What is told below as failed ends so, also where another driver finds that by now it could go on.
      await progress.save()
      return undefined
    })
    if (shared) {
      const ports = shared.profile.access.endpoints.map(({ port }) => port)
      const machines = deps.machines({ cluster, ports, progress, runner, lost })
      const phases = createPhases({ ...input, shared, progress, runner, machines, now: deps.now, log: deps.log })
      if (!operation.outcome) await forward(shared, phases)
      await undo(shared, phases)
    }
    lost.throwIfAborted()
    endOf(cluster, deps.now())
    // Before the operation is closed: whoever takes over after a crash between the two does it again.
    await deps.settle(cluster)
    await progress.close()
  } finally {
    progress.stop()
    runner.close()
  }

  async function forward(shared: Shared, phases: Phases): Promise<void> {
    for (const plan of planOf(cluster, shared.profile)) {
      // Where all is done there is nothing to cancel: that it finished may have been told already.
      if (progress.isDone(plan.name)) continue
      if (cancelled.aborted) operation.outcome = { state: 'CANCELLED', message: 'cancelled' }
      if (operation.outcome) return
      await phases.run(plan, AbortSignal.any([lost, cancelled]))
    }
  }

  /** A host that cannot be cleaned, or that nobody reaches, is told of and hides no failure. */
  async function undo(shared: Shared, phases: Phases): Promise<void> {
    for (const plan of undoingOf(cluster, shared.profile)) {
      if (!progress.isDone(plan.name)) await phases.run(plan, lost)
    }
  }
}
