import { type Bus, type Log, newId, sendMail } from '@fleetgate/kit'
import { createCounters, createOutbox, type Outbox, type Store } from '@fleetgate/store'
import { createAlertMails } from './alerts/alertMails.js'
import { createAlertStore } from './alerts/alertStore.js'
import { createAlerts } from './alerts/alerts.js'
import { createDigestStore } from './alerts/digestStore.js'
import { createAttributeStore } from './attributes/attributeStore.js'
import { createAttributes } from './attributes/attributes.js'
import { createValueStore } from './attributes/valueStore.js'
import { createAssignments } from './bindings/assignments.js'
import { createBindings } from './bindings/bindings.js'
import { createAwayStore } from './clients/awayStore.js'
import { createClientStore } from './clients/clientStore.js'
import { createClients } from './clients/clients.js'
import { createMemberStore } from './clients/memberStore.js'
import { type Config, engineSettings } from './config.js'
import { createDashboard } from './dashboard/dashboard.js'
import { createSampleStore } from './dashboard/sampleStore.js'
import { createEnrol } from './enrolments/enrol.js'
import { createEnrolmentStore } from './enrolments/enrolmentStore.js'
import { createEnrolments } from './enrolments/enrolments.js'
import { createExecutionStore } from './executions/executionStore.js'
import { createRelease, type Release } from './executions/release.js'
import { createGroupStore } from './groups/groupStore.js'
import { createGroups } from './groups/groups.js'
import { createJobBindStore } from './jobs/jobBindStore.js'
import { createJobStore } from './jobs/jobStore.js'
import { createJobs } from './jobs/jobs.js'
import { createUpcoming } from './jobs/upcoming.js'
import { createHistories } from './logs/histories.js'
import { createLogs } from './logs/logs.js'
import { createAllowance } from './runs/allowance.js'
import { createAside } from './runs/aside.js'
import { createDispatch } from './runs/dispatch.js'
import { createEngine } from './runs/engine.js'
import { createHalts, type Halts } from './runs/halts.js'
import { createLeases } from './runs/leases.js'
import { createPrepare } from './runs/prepare.js'
import { createRunStatistics } from './runs/runStatistics.js'
import { createRunStore } from './runs/runStore.js'
import { createSettle } from './runs/settle.js'
import type { TimeZoneOf } from './schedule/nextRun.js'
import type { Settings } from './settings/settings.js'
import { createSettingsStore } from './settings/settingsStore.js'
import { createRequireContents } from './tasks/requireContents.js'
import { createTaskStore } from './tasks/taskStore.js'
import { createTasks } from './tasks/tasks.js'

export type Stores = ReturnType<typeof createStores>

export function createStores(store: Store) {
  const counters = createCounters(store)
  const clients = createClientStore(store, counters)
  const jobs = createJobStore(store, counters)
  const runs = createRunStore(store)
  return {
    counters,
    clients,
    away: createAwayStore(clients),
    enrolments: createEnrolmentStore(store, counters),
    samples: createSampleStore(store, clients),
    alerts: createAlertStore(store),
    digests: createDigestStore(store),
    members: createMemberStore(clients),
    attributes: createAttributeStore(store, counters),
    groups: createGroupStore(store, counters),
    settings: createSettingsStore(store),
    tasks: createTaskStore(store, counters),
    jobs,
    jobLinks: createJobBindStore(jobs),
    runs,
    statistics: createRunStatistics(runs),
    executions: createExecutionStore(store)
  }
}

export interface DriverDeps {
  config: Config
  bus: Bus
  log: Log
  /** Names this replica in leases; unique per process. */
  owner?: string | undefined
  now: () => number
  isBehind: () => boolean
  onDispatched: (lagMs: number) => void
  selfDeclaredServers: (tenantId: string) => Promise<boolean>
}

/** What drives runs on: the engine and all that it works with. */
export function createDriver(stores: Stores, deps: DriverDeps) {
  const { config, bus, log, owner = newId(), now, isBehind, onDispatched, selfDeclaredServers } = deps
  const { runs, executions, clients } = stores
  const settings = engineSettings(config)
  const leases = createLeases(runs.collection, owner, settings.leaseMs)
  const outbox = createOutbox({ model: runs.model, bus, log })
  const shared = { bus, log, now, settings }
  const prepare = createPrepare({ ...stores, ...shared, leases, selfDeclaredServers })
  const allowance = createAllowance({ runs, executions, leases, now })
  const aside = createAside({ executions, clients, now, release: (...to) => release(...to) })
  const dispatch = createDispatch({ executions, allowance, aside, ...shared, isBehind, onDispatched })
  const halts = createHalts({ executions, clients, ...shared, isBehind, onDue: () => engine.nudge() })
  const settle = createSettle({ runs, executions, leases, halts, outbox, log, now, settings })
  const driving = { prepare, dispatch, settle, aside, halts }
  const engine = createEngine({ runs, executions, leases, ...driving, log, now, settings, isBehind })
  const { rearm } = halts
  const { nudge: onReleased } = engine
  const release = createRelease({
    executions: executions.collection,
    prioritiesOf: runs.prioritiesOf,
    now,
    rearm,
    onReleased
  })
  return { engine, outbox, halts, release }
}

export interface OperationDeps {
  now: () => number
  timeZone: TimeZoneOf
  release: Release
  halts: Halts
  /** Open runs of a deleted job end at once. */
  endNow: () => void
  /** How long a client may be offline without an alert. */
  offlineMs: number
  /** Of the alerts. */
  alertOutbox: Outbox
  bus: Bus
  log: Log
  config: Config
  /** PEM of the broker's certificate authority, for enrolled machines. */
  machineCa?: string | undefined
}

export interface AlertMailingDeps {
  config: Config
  bus: Bus
  log: Log
  settings: Settings
  now: () => number
}

/** Mails of what was raised, to those whom the tenant's settings name. */
export function createAlertMailing(stores: Stores, { config, bus, log, settings, now }: AlertMailingDeps) {
  return createAlertMails({
    ...stores,
    addressesOf: async (tenantId) => (await settings.get(tenantId, 'general')).alertMailTo,
    send: async (mail) => void (await bus.request(sendMail, mail)),
    log,
    now,
    everyMs: config.ALERT_MAIL_EVERY_MS
  })
}

export function createOperations(stores: Stores, deps: OperationDeps) {
  const { now, timeZone, release, halts, endNow, offlineMs, alertOutbox } = deps
  const { counters, clients, members, attributes, tasks, jobs, jobLinks, runs, executions } = stores
  const groups = createGroups({
    store: stores.groups,
    clients: members,
    attributes,
    now,
    unbind: (tenantId, id) => jobs.unbindEverywhere(tenantId, { bound: 'groupIds', id, now: now() })
  })
  const bindings = createBindings({ ...stores, now })
  const clientOperations = createClients({
    store: clients,
    attributes,
    now,
    release,
    rename: executions.rename,
    halts,
    unbind: (tenantId, id) => jobs.unbindEverywhere(tenantId, { bound: 'clientIds', id, now: now() })
  })
  const enrolling = { store: stores.enrolments, groups: stores.groups, mqttUrl: deps.config.MACHINE_MQTT_URL, now }
  return {
    groups,
    enrolments: createEnrolments(enrolling),
    enrol: createEnrol({
      ...enrolling,
      clients: clientOperations,
      bindings,
      bus: deps.bus,
      caPem: deps.machineCa,
      attemptsPerMinute: deps.config.ENROL_ATTEMPTS_PER_MINUTE,
      log: deps.log
    }),
    attributes: createAttributes({ store: attributes, values: createValueStore(clients) }),
    bindings,
    assignments: createAssignments({ jobLinks, groups, members }),
    clients: clientOperations,
    tasks: createTasks({
      store: tasks,
      counters,
      now,
      unbind: (tenantId, id) => jobs.unbindEverywhere(tenantId, { bound: 'taskIds', id, now: now() }),
      requireContents: createRequireContents(deps.bus)
    }),
    jobs: createJobs({ store: jobs, runs, timeZone, now, onExpired: endNow }),
    logs: createLogs({ runs, executions, now }),
    alerts: createAlerts({ store: stores.alerts, outbox: alertOutbox, clients: stores.away, runs, offlineMs, now }),
    dashboard: createDashboard({ ...stores, upcoming: createUpcoming(jobs, timeZone) }),
    histories: createHistories({ runs, executions })
  }
}
