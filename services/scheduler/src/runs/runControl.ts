import { AppError } from '@fleetgate/kit'
import type { Run } from './run.js'
import type { RunStore } from './runStore.js'
import { stopNow } from './stop.js'

export interface RunControlDeps {
  runs: RunStore
  now: () => number
  stopGraceMs: number
  /** The run is to be looked at now. */
  onChanged: () => void
}

export interface OneRun {
  tenantId: string
  jobId: number
  runId: string
}

/** By hand, while a run is open. Each may be repeated. */
export interface RunControl {
  cancel(of: OneRun): Promise<void>
  pause(of: OneRun): Promise<void>
  resume(of: OneRun): Promise<void>
}

type Head = Pick<Run, 'open' | 'stop'>

export function createRunControl({ runs, now, stopGraceMs, onChanged }: RunControlDeps): RunControl {
  async function find({ tenantId, jobId, runId }: OneRun): Promise<Head> {
    const projection = { open: 1, stop: 1 } as const
    const found = await runs.collection.findOne({ _id: runId, tenantId, jobId }, { projection })
    if (!found) throw new AppError('not_found', `run ${runId} of job ${jobId} not found`)
    return found
  }

  /** Changes the run while it is open and not stopped by hand or by its failures. */
  async function change({ tenantId, jobId, runId }: OneRun, update: Record<string, unknown>): Promise<boolean> {
    const isGoing = { open: true as const, 'stop.by': { $nin: ['OPERATOR', 'FAILURES'] as const } }
    const { matchedCount } = await runs.collection.updateOne(
      { _id: runId, tenantId, jobId, ...isGoing } as never,
      update
    )
    if (matchedCount > 0) onChanged()
    return matchedCount > 0
  }

  async function changeOrRefuse(of: OneRun, update: Record<string, unknown>): Promise<void> {
    if (await change(of, update)) return
    const { open } = await find(of)
    throw new AppError('invalid_state', open ? 'the run was stopped' : 'the run has ended')
  }

  return {
    async cancel(of) {
      const stop = { at: now(), by: 'OPERATOR' as const, reason: 'the run was cancelled' }
      if (await change(of, stopNow(stop, stopGraceMs))) return
      const run = await find(of)
      if (!run.open && run.stop?.by !== 'OPERATOR') throw new AppError('invalid_state', 'the run has ended')
    },

    pause: (of) => changeOrRefuse(of, { $set: { pausedAt: now() } }),
    resume: (of) => changeOrRefuse(of, { $unset: { pausedAt: '' } })
  }
}
