import { randomUUID } from 'node:crypto'
import {
  AppError,
  type Bus,
  type Caller,
  type CreatorsOf,
  dropMqttAccount,
  keepMqttAccount,
  type Log,
  type Route,
  sendMail
} from '@fleetgate/kit'
import { createAllowed, createHttp } from '@fleetgate/kit/outbound'
import type { Secrets, Store } from '@fleetgate/store'
import { credentialRoutes } from '../credentials/beaver.js'
import { createCredentials } from '../credentials/credential.js'
import { createCredentialStore } from '../credentials/credentialStore.js'
import type { EntityStore } from '../entities/entityStore.js'
import { wireValue } from '../entities/storedValue.js'
import type { Values } from '../entities/values.js'
import type { Grants } from '../grants/grants.js'
import { type ReachOf, wholeReach } from '../grants/reach.js'
import type { Creation } from '../grants/watchGrants.js'
import { workflowRoutes } from './beaver.js'
import type { Known } from './checks.js'
import { createEngine } from './engine.js'
import { createEvents } from './events.js'
import { createExecutor } from './executor.js'
import { httpInRoutes } from './httpInBeaver.js'
import { workflowLogRoutes } from './logsBeaver.js'
import type { NodeParts } from './nodeType.js'
import { createRunStore } from './runStore.js'
import { createSandbox } from './sandbox/sandbox.js'
import { createSecretKeeper } from './secretKeeper.js'
import type { WorkflowSettings } from './settings.js'
import { createStarter } from './starter.js'
import { mqttPrefix } from './topicFilter.js'
import { createTrials } from './trials.js'
import { createTriggerEntities } from './triggerEntities.js'
import { createTriggerSettling } from './triggerSettling.js'
import { createWorkflowStore } from './workflowStore.js'
import { createWorkflows } from './workflows.js'

export interface WorkflowPartsOptions {
  store: Store
  bus: Bus
  log: Log
  secrets: Secrets
  settings: WorkflowSettings
  entities: EntityStore
  /** Writing and calling with the product's own rights. */
  values: Pick<Values, 'updateProperties' | 'callServices'>
  clean: () => Promise<void>
  now: () => number
}

export interface WorkflowRoutesOptions {
  grants: Pick<Grants, 'scopeOf'>
  grantNow: (creation: Creation) => Promise<void>
  creatorsOf: CreatorsOf
  reachOf: ReachOf
}

const dayMs = 24 * 60 * 60 * 1000

export type WorkflowParts = ReturnType<typeof createWorkflowParts>

/** Workflows and credentials, wired. Models are made here: `store.sync()` comes after it, and `begin()` after that. */
export function createWorkflowParts(options: WorkflowPartsOptions) {
  const { store, bus, log, secrets, settings, entities, now } = options
  const workflowStore = createWorkflowStore({ store, bus, log, now })
  const leaseMs = settings.WORKFLOW_LEASE_MS
  const runs = createRunStore({ store, now, owner: randomUUID(), leaseMs })
  const credentials = createCredentials({
    ...{ store: createCredentialStore({ store, now }), secrets, now },
    broker: {
      keep: async (account) => {
        await bus.request(keepMqttAccount, { ...account, topics: [`${mqttPrefix(account.tenantId)}/#`] })
      },
      drop: async (account) => {
        await bus.request(dropMqttAccount, account)
      }
    },
    log,
    max: settings.MAX_CREDENTIALS
  })
  const sandbox = createSandbox()
  const allowed = createAllowed(settings.WORKFLOW_ALLOWED_HOSTS)
  const { http, close: closeHttp } = createHttp({ allowed, setting: 'WORKFLOW_ALLOWED_HOSTS' })
  const parts = { ...nodeParts(options), sandbox, http, secretOf: credentials.secretOf }
  const triggers = createTriggerEntities(entities, options.clean)
  const settling = createTriggerSettling({ store: workflowStore, triggers, log, now })
  const executor = createExecutor({ parts, nodeTimeoutMs: settings.WORKFLOW_NODE_TIMEOUT_MS, now })

  return {
    store: workflowStore,
    outbox: workflowStore.outbox,

    async sweep(): Promise<void> {
      if (settings.WORKFLOW_LOG_DAYS > 0) await runs.removeOlder(now() - settings.WORKFLOW_LOG_DAYS * dayMs)
      await settling.sweep()
      await credentials.sweep()
      await workflowStore.purge(async ({ id, tenantId }) => {
        await triggers.remove(tenantId, id)
        await credentials.removeKept(tenantId, id)
        await runs.removeOf(id)
      })
    },

    /** Deletes those of the workflows that the caller may see. */
    removeReached: async (ids: string[], caller: Caller, { scopeOf }: Pick<Grants, 'scopeOf'>): Promise<void> => {
      const { all, ids: reached } = await scopeOf(caller, 'WORKFLOW')
      for (const id of ids) if (all || reached.has(id)) await settling.remove(caller.tenantId, id)
    },

    /** From here on runs are claimed. */
    begin() {
      const engine = createEngine({
        ...{ runs, workflows: workflowStore, executor, log, now, leaseMs },
        places: settings.WORKFLOW_CONCURRENCY,
        runTimeoutMs: settings.WORKFLOW_RUN_TIMEOUT_MS,
        pollMs: settings.WORKFLOW_POLL_MS
      })
      const limits = { perMinute: settings.WORKFLOW_RUNS_PER_MINUTE, depth: settings.WORKFLOW_DEPTH, queued: 1000 }
      const starter = createStarter({ runs, workflows: workflowStore, limits, log, now })
      const answerWithinMs = settings.WORKFLOW_NODE_TIMEOUT_MS
      const events = createEvents({ workflows: workflowStore, starter, engine, log, now, answerWithinMs })

      return {
        events,
        routes({ reachOf, ...people }: WorkflowRoutesOptions): Route[] {
          const knownOf = createKnownOf(entities, credentials, { reachOf, scopeOf: people.grants.scopeOf })
          const workflows = createWorkflows({
            ...{ ...people, store: workflowStore, runs, engine, knownOf, now },
            secrets: createSecretKeeper(credentials),
            settleTrigger: settling.settle,
            removeWithTrigger: settling.remove,
            max: settings.MAX_WORKFLOWS
          })
          const timeoutMs = settings.WORKFLOW_NODE_TIMEOUT_MS
          const trials = createTrials({ workflows, executor, knownOf, atOnce: 10, timeoutMs, now })
          return [
            ...workflowLogRoutes(workflows, trials),
            ...workflowRoutes(workflows),
            ...httpInRoutes(events, credentials),
            ...credentialRoutes(credentials)
          ]
        },
        async stop(): Promise<void> {
          await engine.stop()
          await Promise.all([sandbox.close(), closeHttp()])
        }
      }
    }
  }
}

function nodeParts({ bus, entities, values }: WorkflowPartsOptions): Omit<NodeParts, 'sandbox' | 'http' | 'secretOf'> {
  return {
    async readValues(tenantId, keys) {
      const found = await entities.findByKeys(tenantId, keys, wholeReach)
      return Object.fromEntries(found.flatMap(({ key, latest }) => (latest ? [[key, wireValue(latest.value)]] : [])))
    },
    async writeValues(tenantId, exchange) {
      const there = new Set(
        (await entities.findByKeys(tenantId, Object.keys(exchange), wholeReach)).map(({ key }) => key)
      )
      const missing = Object.keys(exchange).find((key) => !there.has(key))
      if (missing !== undefined) throw new AppError('invalid_input', `${missing} names no entity`)
      await values.updateProperties(exchange, machineOf(tenantId))
    },
    callService: (tenantId, exchange) => values.callServices(exchange, machineOf(tenantId)),
    async sendMail(mail) {
      await bus.request(sendMail, mail)
    }
  }
}

/** Who acts when a workflow does. What it may touch was checked when a person saved it. */
function machineOf(tenantId: string): Caller {
  const person = { userId: '', email: '', nickname: 'workflow', version: 0 }
  return { ...person, tenantId, isSuperAdmin: true, codes: new Set() }
}

function createKnownOf(
  entities: EntityStore,
  credentials: Pick<ReturnType<typeof createCredentials>, 'existing'>,
  { reachOf, scopeOf }: { reachOf: ReachOf; scopeOf: Grants['scopeOf'] }
) {
  return (caller: Caller): Known => ({
    async entities(keys) {
      const reach = await reachOf(caller)
      const existing = await entities.findByKeys(caller.tenantId, keys, wholeReach)
      const reached = reach.all ? existing : await entities.findByKeys(caller.tenantId, keys, reach)
      return { existing: new Set(existing.map(({ key }) => key)), reached: new Set(reached.map(({ key }) => key)) }
    },
    async credentials(ids) {
      if (ids.length === 0) return new Map()
      const scope = await scopeOf(caller, 'WORKFLOW')
      const found = await credentials.existing(caller.tenantId, ids)
      const isReached = (workflowId?: string) => workflowId === undefined || scope.all || scope.ids.has(workflowId)
      return new Map(
        found.map(({ id, isEditable, workflowId }) => [id, { isListed: isEditable, isReached: isReached(workflowId) }])
      )
    }
  })
}
