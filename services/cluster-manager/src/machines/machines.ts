import type { Cluster, Host } from '../clusters/cluster.js'
import type { HostRunner } from '../hosts/hostRunner.js'
import type { Progress } from '../operations/progress.js'
import { sleep, withBackOff } from '../providers/backoff.js'
import { type Call, CloudProblem, type Driver, type Machine } from '../providers/driver.js'
import { HostProblem } from '../ssh/problem.js'
import { connectable } from './connectable.js'
import { groupOf, isUsable, machineOf, namesOf } from './machineOf.js'

export interface MachineSettings {
  /** How long the machines of one phase are waited for. */
  withinMs: number
  /** How often a machine on its way is asked for. */
  pollMs: number
  /** CIDR from where the machines' ports may be reached. */
  from: string
}

export interface MachinesDeps {
  cluster: Cluster
  /** Ports that programs outside reach, besides SSH. */
  ports: readonly number[]
  progress: Progress
  runner: Pick<HostRunner, 'reach'>
  /** Opened when the first machine is worked on; throws where the provider is gone or is not enough. */
  open: () => Promise<Driver>
  settings: MachineSettings
  /** Aborted where the lease is lost. */
  lost: AbortSignal
  now: () => number
}

export interface Limits {
  signal: AbortSignal
  /** Epoch ms. */
  until: number
}

/** The machines behind the hosts of a cluster. Each method may be repeated, by another driver too; each throws a HostProblem. */
export interface Machines {
  readonly withinMs: number
  /** Orders the machine of a host and records it, unless that was done. */
  create(host: Host, limits: Limits): Promise<void>
  /** Waits until it runs, has an address, and lets us in by SSH. */
  boot(host: Host, limits: Limits): Promise<void>
  /** Takes it away and waits until it is gone. */
  destroy(host: Host, limits: Limits): Promise<void>
  /** Takes away machines of this cluster that no host knows of; with the last machine key and rules as well. */
  tidy(limits: Limits): Promise<void>
}

/** So many looks in a row a machine may not be seen: clouds show what is new with a delay. */
const unseenLooks = 6

export function createMachines(deps: MachinesDeps): Machines {
  const { cluster, progress, settings, lost, now } = deps
  let opened: Promise<Driver> | undefined
  let prepared: Promise<void> | undefined

  function driver(): Promise<Driver> {
    opened ??= deps.open()
    return opened
  }

  const group = () => groupOf(cluster, deps.ports, settings.from)
  const specOf = (host: Host) => ({ ...namesOf(host), group: group() })

  /** Does what the cloud may be too busy for, again and again until the deadline. */
  function ask<T>(host: Host | undefined, { signal, until }: Limits, work: (driver: Driver, call: Call) => Promise<T>) {
    const onWait = ({ message }: CloudProblem) => host && progress.say(host.id, `waiting: ${message}`)
    return driver()
      .then((one) => withBackOff(() => work(one, { signal }), { until, now, signal, onWait }))
      .catch((error: Error) => {
        signal.throwIfAborted()
        const isKnown = error instanceof CloudProblem || error.name === 'AppError'
        throw isKnown ? new HostProblem('refused', error.message, { cause: error }) : error
      })
  }

  /** Key and rules, once for all hosts of a phase. */
  function prepare(limits: Limits): Promise<void> {
    prepared ??= ask(undefined, limits, async (one, call) => {
      await one.ensureKey(group(), call)
      await one.ensureNetworkAccess(group(), call)
    })
    return prepared
  }

  async function take(host: Host, machine: Machine): Promise<void> {
    machineOf(host).id = machine.id
    await progress.save()
  }

  async function remove(machine: Machine, limits: Limits, host?: Host): Promise<void> {
    await ask(host, limits, (one, call) => one.destroy(machine, call))
  }

  /** Everything that carries the tag of this host, and nothing else. */
  async function belonging(host: Host, limits: Limits): Promise<Machine[]> {
    const { tag, name } = namesOf(host)
    const { id } = machineOf(host)
    const found = await ask(host, limits, (one, call) => one.find({ tag, name }, call))
    if (!id || found.some((one) => one.id === id)) return found
    const byId = await ask(host, limits, (one, call) => one.get(id, call))
    if (!byId) await atHome(host, limits)
    return byId?.tag === tag && byId.state !== 'GONE' ? [...found, byId] : found
  }

  /** A machine that is not seen is gone only where it would be seen. */
  async function atHome(host: Host, limits: Limits): Promise<void> {
    if (await ask(host, limits, (one, call) => one.isHome(group(), call))) return
    const { name } = group()
    throw new HostProblem(
      'refused',
      `the provider's account has neither this machine nor the key pair ${name}: it seems to be another account`
    )
  }

  async function clear(host: Host, limits: Limits): Promise<void> {
    for (;;) {
      const left = await belonging(host, limits)
      if (left.length === 0) break
      for (const machine of left) await remove(machine, limits, host)
      if (now() > limits.until) throw new HostProblem('refused', 'the cloud has not taken the machine away in time')
      progress.say(host.id, 'the cloud takes the machine away')
      await sleep(settings.pollMs, limits.signal)
    }
    // An address, for one, of a machine that somebody else took away.
    await ask(host, limits, (one, call) => one.destroy({ tag: namesOf(host).tag }, call))
    // What is asked for from now on is another machine.
    host.machine = { serial: machineOf(host).serial + 1 }
    delete host.hostKey
    host.isTouched = false
    if (host.status !== 'TERMINATING') host.ip = ''
    await progress.save()
  }

  /** Looks before it orders: what is there already is it. */
  function make(host: Host, limits: Limits): Promise<Machine> {
    const spec = specOf(host)
    // An order is not broken off half way by a cancel: it would be taken, and nobody would know of it.
    return ask(host, { ...limits, signal: lost }, async (one, call) => {
      limits.signal.throwIfAborted()
      return (await one.find(spec, call))[0] ?? (await one.create(spec, call))
    })
  }

  /** One that two drivers made at the same time is one too many. */
  async function single(host: Host, limits: Limits): Promise<void> {
    const { id } = machineOf(host)
    for (const machine of await belonging(host, limits)) if (machine.id !== id) await remove(machine, limits, host)
  }

  /** Waits until the cloud says that it runs and where. */
  async function running(host: Host, limits: Limits): Promise<Machine> {
    const { id = '' } = machineOf(host)
    for (let unseen = 0; ; ) {
      const machine = await ask(host, limits, (one, call) => one.get(id, call))
      unseen = machine ? 0 : unseen + 1
      if (unseen > unseenLooks) throw new HostProblem('refused', 'the machine vanished at the cloud')
      if (machine && !isUsable(machine)) {
        throw new HostProblem(
          'refused',
          `the machine is ${machine.state} at the cloud: ${machine.message || 'no reason given'}`
        )
      }
      if (machine?.state === 'RUNNING') {
        const placed = await ask(host, limits, (one, call) => one.ensureAddress(machine, call))
        if (placed.address) return placed
      }
      if (now() > limits.until) throw new HostProblem('refused', 'the machine was not running with an address in time')
      progress.say(host.id, `the machine is ${machine?.state ?? 'not seen yet'}`)
      await sleep(settings.pollMs, limits.signal)
    }
  }

  return {
    withinMs: settings.withinMs,

    async create(host, limits) {
      await prepare(limits)
      const known = machineOf(host).id
      const recorded = known ? await ask(host, limits, (one, call) => one.get(known, call)) : undefined
      // Recorded and not seen: `boot` waits for it.
      if (known && (!recorded || isUsable(recorded))) return
      const [first] = await belonging(host, limits)
      if (first && isUsable(first)) return take(host, first)
      if (first || recorded) await clear(host, limits)
      const made = await make(host, limits)
      if (isUsable(made)) return take(host, made)
      // The machine of this tag went before that was recorded: the next tag is free.
      await clear(host, limits)
      await take(host, await make(host, limits))
    },

    async boot(host, limits) {
      const machine = await running(host, limits)
      host.ip = machine.address
      host.privateIp = machine.privateAddress
      progress.place(host.id, machine.address)
      await progress.save()
      await single(host, limits)
      await connectable({ host, runner: deps.runner, pollMs: settings.pollMs, now, limits })
    },

    destroy: (host, limits) => clear(host, limits),

    async tidy(limits) {
      const kept = new Set(cluster.hosts.flatMap((host) => (host.machine?.id ? [namesOf(host).tag] : [])))
      for (;;) {
        const all = await ask(undefined, limits, (one, call) => one.list(cluster.id, call))
        const strays = all.filter(({ tag }) => !kept.has(tag))
        if (strays.length === 0) break
        for (const machine of strays) await remove(machine, limits)
        if (now() > limits.until) throw new HostProblem('refused', 'the cloud has not taken all machines away in time')
        await sleep(settings.pollMs, limits.signal)
      }
      if (kept.size === 0) await ask(undefined, limits, (one, call) => one.release(group(), call))
    }
  }
}
