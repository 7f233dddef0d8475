import type { Log } from '@fleetgate/kit'
import type { Cluster, Host } from '../clusters/cluster.js'
import { createHostRunner, type HostRunnerOptions } from '../hosts/hostRunner.js'
import { inputOf, type Shared } from '../hosts/input.js'
import { HostProblem } from '../ssh/problem.js'
import { eachOf } from './eachOf.js'
import { endOf } from './ending.js'
import { type PhasePlan, planOf, removal } from './operation.js'
import { createProgress, type WriteProgress } from './progress.js'

export interface DriveDeps {
  /** Everything the hosts must know; throws a plain Error with a reason for the operator. */
  shared: (cluster: Cluster) => Promise<Shared>
  runner: Pick<HostRunnerOptions, 'secrets' | 'settings'>
  write: WriteProgress
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

const hostsAtOnce = 50
const marginMs = 15_000

/** Drives an operation on from what its document says, to its end. Rejects where the lease is lost. */
export async function drive(deps: DriveDeps, { cluster, epoch, lost, cancelled }: DriveInput): Promise<void> {
  const progress = createProgress({ cluster, write: deps.write, now: deps.now })
  const runner = createHostRunner({ ...deps.runner, onKeys: progress.pin })
  const { operation } = cluster
  const known = new Map<string, { staged: string[]; unpacks: string[] }>()

  try {
    const shared = await deps.shared(cluster).catch((error: Error) => {
      if (!(error instanceof HostProblem) && error.name === 'AppError') throw error
      operation.outcome ??= { state: 'FAILED', message: error.message }
      return undefined
    })
    if (shared && !operation.outcome) await forward(shared)
    if (shared) await undo(shared)
    lost.throwIfAborted()
    endOf(cluster, deps.now())
    // Before the operation is closed: whoever takes over after a crash between the two does it again.
    await deps.settle(cluster)
    await progress.close()
  } finally {
    progress.stop()
    runner.close()
  }

  async function forward(shared: Shared): Promise<void> {
    for (const plan of planOf(cluster, shared.profile)) {
      if (cancelled.aborted) operation.outcome = { state: 'CANCELLED', message: 'cancelled' }
      if (operation.outcome) return
      if (progress.isDone(plan.name)) continue
      await phase(shared, plan, AbortSignal.any([lost, cancelled]))
    }
  }

  /** What was begun on hosts that are not to stay is taken away; a host that cannot be cleaned is told of. */
  async function undo(shared: Shared): Promise<void> {
    if (operation.kind !== 'create' && operation.kind !== 'add_hosts') return
    if (operation.kind === 'create' && !operation.outcome) return
    const isAll = operation.kind === 'create' || operation.outcome?.state === 'CANCELLED'
    const touched = operation.hosts.filter(({ state }) => isAll || state === 'FAILED')
    const hosts = touched.flatMap(
      ({ hostId }) => cluster.hosts.find(({ id, isTouched }) => id === hostId && isTouched) ?? []
    )
    for (const plan of removal(hosts, shared.profile)) {
      const undoing = { ...plan, name: plan.name.replace('remove', 'undo') }
      if (!progress.isDone(undoing.name)) await phase(shared, undoing, lost)
    }
  }

  async function phase(shared: Shared, plan: PhasePlan, signal: AbortSignal): Promise<void> {
    // On disk before the first of it is done.
    if (plan.kind === 'stage') for (const host of plan.hosts) host.isTouched = true
    await progress.begin(plan.name)
    const isUndo = plan.name.startsWith('undo')
    const failedBefore = operation.problems.length
    await eachOf(plan.hosts, plan.inTurn ? 1 : hostsAtOnce, async (host) => {
      const at = progress.host(host.id)
      // What failed earlier is out, and what this phase has done before a change of drivers stays done.
      if (at && !isUndo && at.state === 'FAILED') return
      if (at?.phase === plan.name && at.state === 'DONE') return
      if (signal.aborted) return
      const isNew = at?.phase === ''
      // A host whose installation is taken away has failed, before and after.
      progress.enter(host.id, plan.name, isUndo ? 'FAILED' : 'RUNNING')
      try {
        await onHost(shared, plan, host, isNew, signal)
        if (!isUndo) progress.leave(host.id, 'DONE')
      } catch (error) {
        lost.throwIfAborted()
        if (cancelled.aborted && !isUndo) return
        const problem = error instanceof HostProblem ? error : undefined
        if (!problem) deps.log.error({ err: error, operationId: operation.id }, 'phase failed for an unknown reason')
        fail(plan, host, problem?.kind, redact(problem?.message ?? 'an internal error, see the log', shared))
      }
    })
    lost.throwIfAborted()
    if (cancelled.aborted && !isUndo) {
      operation.outcome = { state: 'CANCELLED', message: 'cancelled' }
      await progress.save()
      return
    }
    if (plan.kind === 'preflight') namesTwice(shared, plan)
    judge(plan, operation.problems.length - failedBefore)
    await progress.end(plan.name)
  }

  async function onHost(
    shared: Shared,
    plan: PhasePlan,
    host: Host,
    isNew: boolean,
    signal: AbortSignal
  ): Promise<void> {
    if (isRemoval(plan) && !host.isTouched) return
    if (plan.kind === 'stage') {
      const { staged = [], unpacks } = known.get(host.id) ?? {}
      for (const file of shared.files) {
        if (!staged.includes(file.sha256)) await runner.stage(host, file, { unpacks, signal })
      }
      return
    }
    const lines = await runner.run(host, {
      id: plan.kind === 'preflight' ? 'direct' : `${operation.id}.${operation.attempt}.${plan.name}`,
      operationId: operation.id,
      epoch,
      last: plan.last ?? false,
      scripts: plan.scripts,
      files: inputOf(shared, host, plan, deps.now()),
      timeoutMs: plan.timeoutS * 1000 + marginMs,
      patient: plan.kind !== 'preflight' && !(isRemoval(plan) && isNew),
      onLine: (line) => {
        if (line.startsWith('progress ') && !plan.name.startsWith('undo'))
          progress.say(host.id, redact(line.slice(9), shared))
      },
      signal
    })
    if (plan.kind === 'preflight') readFacts(host, lines)
    if (isRemoval(plan)) host.isTouched = false
  }

  function readFacts(host: Host, lines: string[]): void {
    const facts = lines.filter((line) => line.startsWith('fact ')).map((line) => line.split(' '))
    const all = (wanted: string) => facts.flatMap(([, key, value]) => (key === wanted && value ? [value] : []))
    known.set(host.id, { staged: all('staged'), unpacks: all('unpacks') })
    for (const [, key, value] of facts) {
      if (key === 'privateIp' && value) host.privateIp = value
      if (key === 'hostname' && value) progress.say(host.id, value)
    }
    const problems = lines.filter((line) => line.startsWith('problem ')).map((line) => line.slice(8))
    if (problems.length > 0) throw new HostProblem('refused', problems.join('; '))
  }

  /** Where hosts are known by their names no two may have the same. */
  function namesTwice({ profile }: Shared, plan: PhasePlan): void {
    if (!profile.uniqueHostnames) return
    const names = new Map<string, Host>()
    for (const host of plan.hosts) {
      const name = progress.host(host.id)?.message ?? ''
      const other = names.get(name)
      if (name && other) fail(plan, host, 'refused', `the host name ${name} is also that of ${other.ip}`)
      else if (name) names.set(name, host)
    }
  }

  function fail(plan: PhasePlan, host: Host, kind: string | undefined, message: string): void {
    progress.leave(host.id, 'FAILED', message)
    operation.problems.push({ ip: host.ip, message: `${plan.name}: ${message}` })
    const isAway = kind !== undefined && kind !== 'refused'
    // A host that nobody gets into does not keep a cluster from letting go of it; what may be left on it is told.
    if (plan.name.startsWith('remove') && isAway)
      progress.leave(host.id, 'DONE', 'left as it is: there is no way into the host')
    if (plan.name === 'drain') progress.leave(host.id, 'WAITING', `not drained: ${message}`)
  }

  /** Whether the operation goes on after a phase with failures. */
  function judge(plan: PhasePlan, failures: number): void {
    if (failures === 0 || plan.name === 'drain' || plan.name.startsWith('undo')) return
    const failed = operation.hosts.filter(({ state }) => state === 'FAILED').length
    if (failed === 0) return
    const isPartial = operation.kind === 'add_hosts' && plan.kind !== 'preflight' && failed < operation.hosts.length
    if (isPartial || isRemoval(plan)) return
    operation.outcome = {
      state: 'FAILED',
      message: `${plan.name} failed on ${failed} of ${operation.hosts.length} hosts`
    }
  }
}

function isRemoval(plan: PhasePlan): boolean {
  return /^(remove|undo)/.test(plan.name)
}

const shortestSecret = 6

/** Scripts do not print secrets; a program that complains about a file might. */
function redact(text: string, { secrets, registries }: Shared): string {
  const hidden = [...Object.values(secrets), ...registries.map(({ password }) => password)]
  return hidden
    .filter(({ length }) => length >= shortestSecret)
    .reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
}
