import { AsyncLocalStorage } from 'node:async_hooks'
import { AppError, type Caller } from '@fleetgate/kit'
import type { Measurement } from '../entities/measurement.js'
import type { Outcome } from './nodeType.js'

/** What the rest of the service tells the workflows. */
export interface Listening {
  /** Values that were kept, repeats among them. */
  onValues(tenantId: string, samples: readonly Measurement[]): Promise<void>
  /** Services that were called without a value. */
  onCalled(tenantId: string, keys: string[], at: number): Promise<void>
  /** Runs the workflow behind a trigger's service and answers what it puts out. */
  call(tenantId: string, workflowId: string, params: Outcome): Promise<Outcome>
}

export interface Bound extends Listening {
  /** Deletes those of the workflows that the caller may see, with their services. */
  remove(workflowIds: string[], caller: Caller): Promise<void>
}

export interface Hooks extends Bound {
  bind(bound: Bound): void
}

/** Values are recorded below the workflows and called above them: this stands between, bound once both are made. */
export function createHooks(): Hooks {
  let bound: Bound | undefined

  function needed(): Bound {
    if (!bound) throw new AppError('unavailable', 'workflows are not ready yet')
    return bound
  }

  return {
    bind(workflows) {
      bound = workflows
    },
    async onValues(tenantId, samples) {
      await bound?.onValues(tenantId, samples)
    },
    async onCalled(tenantId, keys, at) {
      await bound?.onCalled(tenantId, keys, at)
    },
    async call(tenantId, workflowId, params) {
      return needed().call(tenantId, workflowId, params)
    },
    async remove(workflowIds, caller) {
      await needed().remove(workflowIds, caller)
    }
  }
}

const chain = new AsyncLocalStorage<number>()

/** How many runs led to what is being done now; 0 outside of all runs. */
export function depthNow(): number {
  return chain.getStore() ?? 0
}

/** Whatever the work starts counts as started by a run of this depth. */
export function withDepth<T>(depth: number, work: () => Promise<T>): Promise<T> {
  return chain.run(depth, work)
}
