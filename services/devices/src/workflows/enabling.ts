import { defined } from '../entities/entityDoc.js'
import type { Wait } from './nodes/entries.js'
import { allWaitFields, type WorkflowDoc, waitFields } from './workflowDoc.js'

/** What enabling writes; nothing disables. */
export interface Enabling {
  wait: Wait
  nextAt?: number | undefined
  at: number
}

export function enabledFields(enabling: Enabling | undefined): Partial<WorkflowDoc> {
  if (!enabling) return {}
  return {
    ...waitFields(enabling.wait),
    ...defined({ nextAt: enabling.nextAt }),
    enabledAt: enabling.at
  } as Partial<WorkflowDoc>
}

export function unsetFields(enabling: Enabling | undefined): Record<string, ''> {
  const kept = enabledFields(enabling)
  return Object.fromEntries(allWaitFields.filter((name) => !(name in kept)).map((name) => [name, '']))
}
