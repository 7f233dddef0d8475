import {
  type App,
  type Auditor,
  type Bus,
  createApp,
  createAuditor,
  createCreatorsOf,
  dialects,
  type Guard,
  type Log,
  type Metrics,
  type Route,
  type Subscription
} from '@fleetgate/kit'
import { createAuditTrail, createOutbox, type Store } from '@fleetgate/store'
import { auditActions } from './auditActions.js'
import { fillNameParts } from './clients/fillNameParts.js'
import { createPresence } from './clients/presence.js'
import { createPresenceStore } from './clients/presenceStore.js'
import { createRenames } from './clients/renames.js'
import { type Config, engineSettings } from './config.js'
import { createConsumers } from './consumers.js'
import { repeatEvery } from './dashboard/repeatEvery.js'
import { createBacklog } from './executions/backlog.js'
import { createOnReport } from './executions/onReport.js'
import { createTell, serveMachines, tellingClients, tellingPresence } from './machines/machines.js'
import { createFigures } from './metrics.js'
import { createOffers } from './offers/offers.js'
import { createAlertMailing, createDriver, createOperations, createStores } from './parts.js'
import { restRoutes } from './routes.js'
import { createOnStaged } from './runs/onStaged.js'
import { createOpenRun } from './runs/openRun.js'
import { createPruneAlarm } from './runs/prune.js'
import { createRunControl } from './runs/runControl.js'
import { requireTimeZone } from './schedule/nextRun.js'
import { createTimetable } from './schedule/timetable.js'
import { createSettings } from './settings/settings.js'

export interface SchedulerDeps {
  config: Config
  store: Store
  bus: Bus
  guard: Guard
  log: Log & Parameters<typeof createApp>[0]['log']
  now?: () => number
  /** PEM of the broker's certificate authority, for machines that enrol. */
  machineCa?: string | undefined
  /** Names this replica in leases; unique per process. */
  owner?: string
}

export interface Scheduler {
  app: App
  /** Begins to consume, drive runs and reconcile. The store's indexes must be there. */
  start(): Promise<void>
  /** Stops in order; what this replica drove is free for others at once. */
  stop(): Promise<void>
}

/** Wires the whole service. No I/O until `start`. */
export function createScheduler(deps: SchedulerDeps): Scheduler {
  const { config, bus, guard, log, now = Date.now } = deps
  const stores = createStores(deps.store)
  const backlog = createBacklog(now)
  const figures = createFigures({ log, lagMs: backlog.lagMs, openRuns: stores.runs.openRuns })
  const onDispatched = figures.dispatched
  const tenantSettings = createSettings({
    store: stores.settings,
    autoEnable: config.AUTO_ENABLE_NEW_CLIENT,
    timeZone: requireTimeZone(config.TIME_ZONE),
    onTimeZone: (tenantId) => timetable.reschedule(tenantId)
  })
  const selfDeclaredServers = async (tenantId: string) =>
    (await tenantSettings.get(tenantId, 'clients')).selfDeclaredServers
  const { engine, outbox, halts, release } = createDriver(stores, {
    ...deps,
    now,
    isBehind: backlog.isBehind,
    onDispatched,
    selfDeclaredServers
  })
  const settings = engineSettings(config)
  const { timeZone } = tenantSettings
  const tell = createTell({ bus, log, now })
  const presenceStore = createPresenceStore({
    clients: stores.clients,
    autoEnable: async (tenantId) => (await tenantSettings.get(tenantId, 'clients')).autoEnableNewClient,
    now
  })
  const presence = createPresence({
    store: tellingPresence(presenceStore, tell),
    bus,
    log,
    connectGraceMs: settings.connectGraceMs,
    release,
    onServer: () => engine.nudge()
  })
  const { executions, runs } = stores
  const onReport = createOnReport({ ...settings, executions, log, now, onProgress: engine.onProgress })
  const onStaged = createOnStaged({ runs, log, onProgress: async (runIds) => engine.nudge(runIds) })
  const consumers = createConsumers({
    bus,
    log,
    presence,
    onReport,
    onStaged,
    offers: createOffers({ ...stores, bus, log, selfDeclaredServers }),
    backlog,
    onRunFinished: async (event) => {
      await operations.alerts.onRunFinished(event)
      figures.runFinished(event.result)
    },
    reconcileMs: config.RECONCILE_MS
  })
  const watch = repeatEvery(
    config.SAMPLE_MS,
    [() => stores.samples.take(now(), config.SAMPLE_MS), () => operations.alerts.watchClients()],
    log
  )
  const { sweep } = createRenames({ ...stores, rename: executions.rename, release, now })
  const renames = repeatEvery(settings.sweepMs, [sweep], log)
  const trail = createAuditTrail({ store: deps.store, bus, log, service: 'scheduler' })
  const alertOutbox = createOutbox({ model: stores.alerts.model, bus, log })
  const alertMails = createAlertMailing(stores, { config, bus, log, settings: tenantSettings, now })
  const mailing = repeatEvery(config.ALERT_MAIL_SWEEP_MS, [alertMails.sendDue], log)
  const operations = createOperations(stores, {
    ...deps,
    now,
    timeZone,
    release,
    halts,
    endNow: () => engine.nudge(),
    offlineMs: config.ALERT_OFFLINE_MINUTES * 60_000,
    alertOutbox
  })
  const openRun = createOpenRun({
    ...stores,
    broughtBy: operations.groups.broughtBy,
    timeZone,
    log,
    now,
    deadlineHours: config.RUN_DEADLINE_HOURS,
    repeatMs: config.RUN_REPEAT_MS,
    onOpened: () => engine.nudge()
  })
  const runControl = createRunControl({ runs, now, stopGraceMs: settings.stopGraceMs, onChanged: () => engine.nudge() })
  const timetable = createTimetable({
    jobs: stores.jobs.scheduled,
    openRun,
    timeZone,
    log,
    now,
    sweepMs: settings.sweepMs
  })

  let machines: Subscription | undefined
  const pruning = createPruneAlarm({
    runs,
    executions,
    alerts: stores.alerts,
    log,
    now,
    retentionDays: config.RETENTION_DAYS
  })

  return {
    app: createSchedulerApp({
      routes: restRoutes({
        ...operations,
        clients: tellingClients(operations.clients, tell),
        settings: tenantSettings,
        jobLinks: stores.jobLinks,
        members: stores.members,
        openRun,
        runControl,
        creatorsOf: createCreatorsOf(bus, log),
        now
      }),
      config,
      bus,
      store: deps.store,
      guard,
      auditor: createAuditor(trail, log),
      log,
      metrics: figures.metrics
    }),
    async start() {
      await fillNameParts(stores.clients, log)
      trail.start()
      outbox.start()
      engine.start()
      timetable.start()
      pruning.start()
      machines = await serveMachines(bus, stores.clients.model, now)
      await consumers.start()
      watch.start()
      renames.start()
      alertOutbox.start()
      mailing.start()
    },
    async stop() {
      await mailing.stop()
      await renames.stop()
      await watch.stop()
      await consumers.stop()
      await machines?.stop()
      machines = undefined
      await pruning.stop()
      await timetable.stop()
      await engine.stop()
      await outbox.stop()
      await alertOutbox.stop()
      await trail.stop()
    }
  }
}

export interface SchedulerAppDeps {
  routes: Route[]
  config: Config
  bus: Bus
  store: Store
  guard: Guard
  auditor: Auditor
  log: SchedulerDeps['log']
  metrics: Metrics
}

function createSchedulerApp(deps: SchedulerAppDeps): App {
  const { routes, config, bus, store, guard, auditor, log, metrics } = deps
  return createApp({
    service: 'scheduler',
    metrics,
    log,
    guard,
    audit: { auditor, actions: auditActions },
    checkReplies: config.CHECK_REPLIES,
    checks: { nats: bus.isReady, mongodb: store.ready },
    apis: [{ dialect: dialects.sdes, routes }]
  })
}
