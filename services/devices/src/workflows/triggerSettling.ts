import type { Log } from '@fleetgate/kit'
import { planOf } from './design.js'
import { kinds } from './nodes/index.js'
import type { TriggerEntities } from './triggerEntities.js'
import type { WorkflowStore } from './workflowStore.js'

/** Younger ones are with the request that changed them. */
const graceMs = 10_000

export interface TriggerSettling {
  /** Lets the service of a trigger follow its workflow, as that stands now; nothing is left of one that is gone. */
  settle(tenantId: string, id: string): Promise<void>
  /** Deletes a workflow with its service. */
  remove(tenantId: string, id: string): Promise<void>
  /** What a crash left undone. */
  sweep(): Promise<void>
}

export interface TriggerSettlingOptions {
  store: WorkflowStore
  triggers: TriggerEntities
  log: Log
  now: () => number
}

/** A workflow and its service are several documents: the workflow is written first, with a mark, and the rest may be repeated. */
export function createTriggerSettling({ store, triggers, log, now }: TriggerSettlingOptions): TriggerSettling {
  async function settle(tenantId: string, id: string): Promise<void> {
    for (;;) {
      const workflow = await store.find(tenantId, id)
      if (!workflow) return triggers.remove(tenantId, id)
      await triggers.ensure(workflow, planOf(workflow.design, kinds))
      // Where it is another by now, whoever changed it may have been overtaken by this one.
      if (await store.settled(workflow)) return
    }
  }

  return {
    settle,
    async remove(tenantId, id) {
      await store.remove(tenantId, id)
      await settle(tenantId, id)
    },
    async sweep() {
      for (const { tenantId, id } of await store.listUnsettled(now() - graceMs)) {
        await settle(tenantId, id).catch((err) =>
          log.warn({ err, workflowId: id }, 'service of a workflow not settled')
        )
      }
    }
  }
}
