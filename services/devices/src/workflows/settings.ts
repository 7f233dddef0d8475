import { type Static, Type } from '@fleetgate/kit'

export const workflowSettings = {
  /** Of one tenant. */
  MAX_WORKFLOWS: Type.Integer({ minimum: 1, default: 1000 }),
  /** Of one tenant, those within workflows among them. */
  MAX_CREDENTIALS: Type.Integer({ minimum: 1, default: 5000 }),
  /** Runs of one tenant at the same time, over all replicas. */
  WORKFLOW_CONCURRENCY: Type.Integer({ minimum: 1, maximum: 100, default: 5 }),
  /** Runs of one workflow begun within a minute; more are stopped. */
  WORKFLOW_RUNS_PER_MINUTE: Type.Integer({ minimum: 1, default: 600 }),
  /** Runs that may lead to one another. */
  WORKFLOW_DEPTH: Type.Integer({ minimum: 1, maximum: 50, default: 5 }),
  WORKFLOW_NODE_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 600_000, default: 30_000 }),
  WORKFLOW_RUN_TIMEOUT_MS: Type.Integer({ minimum: 100, default: 300_000 }),
  /** How long a run of a process that is gone waits for another one. */
  WORKFLOW_LEASE_MS: Type.Integer({ minimum: 500, default: 15_000 }),
  /** Between two looks for what is due. */
  WORKFLOW_POLL_MS: Type.Integer({ minimum: 50, default: 1000 }),
  /** Days that logs of runs are kept; 0 keeps them for ever. */
  WORKFLOW_LOG_DAYS: Type.Integer({ minimum: 0, maximum: 36_500, default: 30 }),
  /** Host names, addresses and CIDR ranges beside the public Internet that nodes may call, with commas between them. */
  WORKFLOW_ALLOWED_HOSTS: Type.String({ default: '' })
}

const Settings = Type.Object(workflowSettings)
export type WorkflowSettings = Static<typeof Settings>
