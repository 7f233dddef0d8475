import { type Log, severityOf, withOrigin } from '@fleetgate/kit'
import type { EngineSettings } from '../config.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import { createAlarm } from './alarm.js'
import type { Aside } from './aside.js'
import type { Commands, Dispatch } from './dispatch.js'
import { dueFilter } from './due.js'
import type { Halts } from './halts.js'
import type { HeldRun, Leases } from './leases.js'
import { commandSources, commandTasks } from './run.js'
import type { RunStore } from './runStore.js'
import type { Settle } from './settle.js'

export interface EngineDeps {
  runs: RunStore
  executions: ExecutionStore
  leases: Leases
  prepare: (held: HeldRun) => Promise<boolean>
  dispatch: Dispatch
  settle: Settle
  aside: Pick<Aside, 'lookAtSome'>
  halts: Pick<Halts, 'sendDue'>
  log: Log
  now: () => number
  settings: EngineSettings
  isBehind: () => boolean
}

export interface Engine {
  /** Something may have become possible: look at these runs soon; without ids at all, new ones included. */
  nudge(runIds?: readonly string[]): void
  /** Reports were applied to these runs: they are counted soon, by whichever replica drives them. */
  onProgress(runIds: readonly string[]): Promise<void>
  start(): void
  stop(): Promise<void>
}

/** A run is counted at most this often, however many reports come. */
const countEveryMs = 200
/** What waits for its machine is looked at again this often, a part at a time. */
const lookEveryMs = 5_000
/** Nudges that come together are one round. */
const gatherMs = 5

/**
 * Drives the runs that this replica holds the lease of. Rounds come one after the other: when nudged, and at every sweep.
 * All that a round knows is read from the documents, so a round that fails or a process that dies loses nothing.
 */
export function createEngine(deps: EngineDeps): Engine {
  const { runs, leases, log, now, settings } = deps
  const held = new Map<string, HeldRun>()
  const commands = new Map<string, Commands>()
  const countedAt = new Map<string, number>()
  const toDispatch = new Set<string>()
  const toCount = new Set<string>()
  /** Runs that another replica took over while this one was frozen: what was heard of them until we noticed is for that one. */
  const lost = new Set<string>()
  let renewedAt = 0
  let lookAtAll = false
  let nextSweep = 0
  let nextLook = 0
  let keeper: NodeJS.Timeout | undefined
  const alarm = createAlarm({ now, work: oneRound, nextWait })

  function nextWait(): number {
    if (lookAtAll || toDispatch.size > 0) return gatherMs
    const sweepIn = Math.max(0, nextSweep - now())
    return toCount.size > 0 ? Math.min(countEveryMs, sweepIn) : sweepIn
  }

  async function oneRound(): Promise<void> {
    try {
      const isSweep = lookAtAll || now() >= nextSweep
      if (isSweep) await sweep()
      const isDue = take(toDispatch)
      const at = now()
      for (const run of [...held.values()]) {
        const isWanted = isDue.has(run._id) || (isSweep && run.state === 'PREPARING')
        await withOrigin(run.origin, () => drive(run, isWanted ? at : undefined))
      }
      if (isSweep) await deps.halts.sendDue()
    } catch (error) {
      // Nothing is lost: the next sweep finds everything in the documents again.
      nextSweep = now() + settings.sweepMs
      lookAtAll = false
      log[severityOf(error)]({ err: error }, 'round of the engine failed')
    }
  }

  /** Renews the leases, takes over runs, and finds what has become due by time alone. */
  async function sweep(): Promise<void> {
    lookAtAll = false
    nextSweep = now() + settings.sweepMs
    const askedAt = now()
    const mine = await leases.renew()
    renewedAt = askedAt
    const before = new Set(held.keys())
    held.clear()
    for (const run of mine) {
      held.set(run._id, run)
      if (!before.has(run._id) || run.recount || run.stopAt <= now()) toCount.add(run._id)
    }
    for (const id of before) {
      if (held.has(id)) continue
      forget(id)
      lost.add(id)
    }
    await tellOthers([...lost])
    lost.clear()
    const recounts = mine.filter(({ recount }) => recount).map(({ _id }) => _id)
    if (recounts.length > 0) await runs.collection.updateMany({ _id: { $in: recounts } }, { $unset: { recount: '' } })
    await lookAside(mine)
    for (const id of await dueRuns(mine)) toDispatch.add(id)
  }

  /** Whoever drives these runs counts them. */
  async function tellOthers(runIds: string[]): Promise<void> {
    if (runIds.length === 0) return
    await runs.collection.updateMany({ _id: { $in: runIds }, open: true }, { $set: { recount: true } })
  }

  async function lookAside(mine: HeldRun[]): Promise<void> {
    if (now() < nextLook) return
    nextLook = now() + lookEveryMs
    const running = mine.filter(({ state }) => state === 'RUNNING')
    const changed = await deps.aside.lookAtSome(running)
    if (changed) toCount.add(changed)
  }

  async function dueRuns(mine: HeldRun[]): Promise<string[]> {
    const ids = mine.filter(({ state }) => state === 'RUNNING').map(({ _id }) => _id)
    if (ids.length === 0) return []
    const filter = dueFilter(ids, { now: now(), isBehind: deps.isBehind(), givesOut: 'ALL' })
    return deps.executions.collection.distinct('runId', filter)
  }

  /** `dueAt`: something may be due at that moment. */
  async function drive(run: HeldRun, dueAt: number | undefined): Promise<void> {
    try {
      if (run.deadlineAt <= now() && run.state === 'RUNNING') {
        await deps.settle.expire(run)
        toCount.add(run._id)
      } else if (dueAt !== undefined) {
        await (run.state === 'PREPARING' ? prepareRun(run) : dispatchRun(run, dueAt))
      }
      if (run.state === 'RUNNING') await countRun(run)
    } catch (error) {
      log[severityOf(error)]({ err: error, runId: run._id }, 'run not driven on, trying again')
    }
  }

  async function prepareRun(run: HeldRun): Promise<void> {
    const isReady = await deps.prepare(run)
    // One that is past its deadline, or stopped, is not prepared further: what it has got is failed and counted.
    const isOver = !isReady && Math.min(run.deadlineAt, run.stopAt) <= now()
    if (isOver) await runs.collection.updateOne(leases.fence(run), { $set: { state: 'RUNNING' } })
    if (!isReady && !isOver) return
    run.state = 'RUNNING'
    toCount.add(run._id)
    if (run.deadlineAt <= now()) await deps.settle.expire(run)
    else if (!isOver) await dispatchRun(run, now())
  }

  async function dispatchRun(run: HeldRun, at: number): Promise<void> {
    const known = commands.get(run._id) ?? (await loadCommands(run))
    if (!known) return
    commands.set(run._id, known)
    await deps.dispatch(run, known, at)
    // Dispatching may end executions (a deleted machine), so there may be something to count.
    toCount.add(run._id)
  }

  async function loadCommands(run: HeldRun): Promise<Commands | undefined> {
    const found = await runs.collection.findOne(leases.fence(run), {
      projection: { tenantId: 1, tasks: 1, sources: 1 }
    })
    return found ? { tasks: commandTasks(found), sources: commandSources(found) } : undefined
  }

  async function countRun(run: HeldRun): Promise<void> {
    const last = countedAt.get(run._id) ?? 0
    if (!toCount.has(run._id) || now() - last < countEveryMs) return
    toCount.delete(run._id)
    countedAt.set(run._id, now())
    let hasEnded: boolean
    try {
      hasEnded = await deps.settle.count(run)
    } catch (error) {
      // No further report may come.
      toCount.add(run._id)
      throw error
    }
    if (!hasEnded) return
    held.delete(run._id)
    forget(run._id)
  }

  function forget(runId: string): void {
    commands.delete(runId)
    countedAt.delete(runId)
    toDispatch.delete(runId)
    toCount.delete(runId)
  }

  return {
    nudge(runIds) {
      if (!runIds) lookAtAll = true
      // Runs of another replica are found by its own sweep.
      for (const id of runIds ?? []) if (held.has(id)) toDispatch.add(id)
      if (lookAtAll || toDispatch.size > 0) alarm.wake(gatherMs)
    },

    async onProgress(runIds) {
      // A lease that was not renewed in time may be another's by now.
      const isHolding = now() - renewedAt < settings.leaseMs
      const foreign = runIds.filter((id) => !isHolding || !held.has(id))
      for (const id of runIds) {
        const run = held.get(id)
        if (run) toCount.add(id)
        // A machine that has ended leaves room for another.
        if (run?.limits.maxConcurrentSession) toDispatch.add(id)
      }
      await tellOthers(foreign)
      if (toCount.size > 0) alarm.wake(Math.min(nextWait(), countEveryMs))
    },

    start() {
      keeper = setInterval(() => {
        leases.keep().catch((error) => log.warn({ err: error }, 'leases not renewed'))
      }, settings.leaseMs / 3)
      alarm.start()
    },

    async stop() {
      clearInterval(keeper)
      await alarm.stop()
      // What is heard from now on is for whoever takes over.
      held.clear()
      await leases.release()
    }
  }
}

function take(set: Set<string>): Set<string> {
  const taken = new Set(set)
  set.clear()
  return taken
}
