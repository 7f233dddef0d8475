import type { Log } from '@fleetgate/kit'
import type { Cluster, Host } from '../clusters/cluster.js'
import type { HostRunner } from '../hosts/hostRunner.js'
import { authOf, inputOf, type Shared } from '../hosts/input.js'
import { isAtCloud } from '../machines/machinePlans.js'
import type { Limits, Machines } from '../machines/machines.js'
import { HostProblem } from '../ssh/problem.js'
import { eachOf } from './eachOf.js'
import { factsOf, type HostFacts } from './facts.js'
import type { PhasePlan } from './operation.js'
import type { Progress } from './progress.js'

export interface PhasesDeps {
  cluster: Cluster
  epoch: number
  shared: Shared
  progress: Progress
  runner: HostRunner
  machines: Machines
  lost: AbortSignal
  cancelled: AbortSignal
  now: () => number
  log: Log
}

export interface Phases {
  /** Does one phase on all its hosts, and leaves in the document what came of it. Rejects where the lease is lost. */
  run(plan: PhasePlan, signal: AbortSignal): Promise<void>
}

const hostsAtOnce = 50
/** Clouds bound how often they are asked. */
const machinesAtOnce = 10
const marginMs = 15_000

export function createPhases(deps: PhasesDeps): Phases {
  const { cluster, epoch, shared, progress, runner, machines, lost, cancelled, now, log } = deps
  const { operation } = cluster
  const known = new Map<string, HostFacts>()

  async function run(plan: PhasePlan, signal: AbortSignal): Promise<void> {
    // On disk before the first of it is done.
    if (plan.kind === 'stage') for (const host of plan.hosts) host.isTouched = true
    await progress.begin(plan.name)
    const failedBefore = operation.problems.length
    const { atOnce = isAtCloud(plan) ? machinesAtOnce : hostsAtOnce } = plan
    await eachOf(plan.hosts, atOnce, (host) => visit(plan, host, signal))
    if (plan.kind === 'destroy') await tidy(plan, signal)
    lost.throwIfAborted()
    if (cancelled.aborted && !isUndo(plan)) {
      operation.outcome = { state: 'CANCELLED', message: 'cancelled' }
      await progress.save()
      return
    }
    if (plan.kind === 'preflight') namesTwice(plan)
    judge(plan, operation.problems.length - failedBefore)
    await progress.end(plan.name)
  }

  async function visit(plan: PhasePlan, host: Host, signal: AbortSignal): Promise<void> {
    const at = progress.host(host.id)
    // What failed earlier is out, and what this phase has done before a change of drivers stays done.
    if (at && !isUndo(plan) && at.state === 'FAILED') return
    if (at?.phase === plan.name && at.state === 'DONE') return
    if (signal.aborted) return
    const isNew = at?.phase === ''
    // A host whose installation is taken away has failed, before and after.
    progress.enter(host.id, plan.name, isUndo(plan) ? 'FAILED' : 'RUNNING')
    try {
      await work(plan, host, isNew, signal)
      if (!isUndo(plan)) progress.leave(host.id, 'DONE')
    } catch (error) {
      lost.throwIfAborted()
      if (cancelled.aborted && !isUndo(plan)) return
      const problem = error instanceof HostProblem ? error : undefined
      if (!problem) log.error({ err: error, operationId: operation.id }, 'phase failed for an unknown reason')
      fail(plan, host, problem?.kind, redact(problem?.message ?? 'an internal error, see the log', shared))
    }
  }

  async function work(plan: PhasePlan, host: Host, isNew: boolean, signal: AbortSignal): Promise<void> {
    if (plan.kind === 'order') return machines.create(host, limitsOf(plan, signal))
    if (plan.kind === 'boot') return machines.boot(host, limitsOf(plan, signal))
    if (plan.kind === 'destroy') return machines.destroy(host, limitsOf(plan, signal))
    if (isRemoval(plan) && !host.isTouched) return
    // Its machine was taken away, or never came.
    if (host.ip === '') return
    if (plan.kind === 'stage') {
      const { staged = [], unpacks } = known.get(host.id) ?? {}
      for (const file of shared.files) {
        if (!staged.includes(file.sha256)) await runner.stage(host, file, { unpacks, signal })
      }
      // The scripts are for what the host is to fetch itself.
      if (!shared.download) return
    }
    const lines = await runner.run(host, {
      id: plan.kind === 'preflight' ? 'direct' : `${operation.id}.${operation.attempt}.${plan.name}`,
      operationId: operation.id,
      clusterId: cluster.id,
      epoch,
      last: plan.last ?? false,
      program: shared.profile.program,
      scripts: plan.scripts,
      input: inputOf(shared, host, plan, now()),
      timeoutMs: plan.timeoutS * 1000 + marginMs,
      patient: plan.kind !== 'preflight' && !(isRemoval(plan) && isNew),
      onLine: (line) => {
        if (line.startsWith('progress ') && !isUndo(plan)) progress.say(host.id, redact(line.slice(9), shared))
      },
      signal
    })
    if (plan.kind === 'preflight') learn(host, lines)
    else host.authority = factsOf(lines).authority || host.authority
    if (!isRemoval(plan)) return
    host.isTouched = false
    host.authority = undefined
  }

  /** From the start of the phase, whoever drives it meanwhile. */
  function limitsOf({ name }: PhasePlan, signal: AbortSignal): Limits {
    const startedAt = operation.phases.find((phase) => phase.name === name)?.startedAt ?? now()
    return { signal, until: startedAt + machines.withinMs }
  }

  /** What is left at the cloud besides the machines of hosts; where it does not go, a host stays to say so. */
  async function tidy(plan: PhasePlan, signal: AbortSignal): Promise<void> {
    try {
      await machines.tidy(limitsOf(plan, signal))
    } catch (error) {
      lost.throwIfAborted()
      const [host] = plan.hosts
      if (!(error instanceof HostProblem) || !host) throw error
      fail(plan, host, error.kind, redact(error.message, shared))
    }
  }

  /** Throws with everything that a look at the host found wrong. */
  function learn(host: Host, lines: string[]): void {
    const facts = factsOf(lines)
    known.set(host.id, facts)
    if (facts.privateIp) host.privateIp = facts.privateIp
    if (facts.hostname) {
      host.hostname = facts.hostname
      progress.say(host.id, facts.hostname)
    }
    if (facts.problems.length > 0) throw new HostProblem('refused', facts.problems.join('; ').slice(0, 2_000))
  }

  /** Where hosts are known by their names no two may have the same, those included that the cluster has already. */
  function namesTwice(plan: PhasePlan): void {
    if (!shared.profile.uniqueHostnames) return
    const others = cluster.hosts.filter((host) => host.isTouched && !plan.hosts.includes(host))
    const names = new Map(others.map((host) => [host.hostname, host]))
    for (const host of plan.hosts) {
      if (!host.hostname) continue
      const other = names.get(host.hostname)
      if (other) fail(plan, host, 'refused', `the host name ${host.hostname} is also that of ${other.ip}`)
      else names.set(host.hostname, host)
    }
  }

  function fail(plan: PhasePlan, host: Host, kind: string | undefined, message: string): void {
    progress.leave(host.id, 'FAILED', message)
    operation.problems.push({ ip: host.ip || host.name, message: `${plan.name}: ${message}` })
    const isAway = kind !== undefined && kind !== 'refused'
    // A host that nobody gets into does not keep a cluster from letting go of it; what may be left on it is told.
    if (plan.name.startsWith('remove') && isAway)
      progress.leave(host.id, 'DONE', 'left as it is: there is no way into the host')
    if (isDrain(plan)) progress.leave(host.id, 'WAITING', `not drained: ${message}`)
  }

  /** Whether the operation goes on after a phase with failures. */
  function judge(plan: PhasePlan, failures: number): void {
    if (failures === 0 || isDrain(plan) || isUndo(plan)) return
    const failed = operation.hosts.filter(({ state }) => state === 'FAILED').length
    if (plan.must) operation.outcome = { state: 'FAILED', message: plan.must }
    if (failed === 0) return
    const isPartial = operation.kind === 'add_hosts' && plan.kind !== 'preflight' && failed < operation.hosts.length
    if (isPartial || isRemoval(plan) || plan.kind === 'destroy') return
    const message = `${plan.name} failed on ${failed} of ${operation.hosts.length} hosts`
    operation.outcome = { state: 'FAILED', message }
  }

  return { run }
}

function isUndo({ name }: PhasePlan): boolean {
  return name.startsWith('undo')
}

function isDrain({ name }: PhasePlan): boolean {
  return name.startsWith('drain')
}

/** After it nothing of the cluster is on the host. */
function isRemoval({ scripts }: PhasePlan): boolean {
  return scripts.includes('remove.sh')
}

const shortestSecret = 6

/** Scripts do not print secrets; a program that complains about a file might. */
function redact(text: string, { secrets, registries }: Shared): string {
  const hidden = [...Object.values(secrets), ...registries.flatMap((one) => [one.password, authOf(one)])]
  return hidden
    .filter(({ length }) => length >= shortestSecret)
    .reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
}
