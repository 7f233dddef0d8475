import type { Step } from '@fleetgate/kit'

/** A reusable list of steps. */
export interface Task {
  _id: string
  tenantId: string
  taskId: number
  taskName: string
  description: string
  priority: number
  enabled: boolean
  disableValidation: boolean
  createdAt: number
  lastEditedAt: number
  lastRunAt?: number
  /** When it was last bound to or taken from a job. */
  assignmentsChangedAt?: number
  scripts: Step[]
}

export type TaskDraft = Pick<Task, 'taskName' | 'description' | 'priority' | 'enabled' | 'disableValidation'>
