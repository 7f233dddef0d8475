import {
  connectBus,
  createAuditor,
  createCreatorsOf,
  createGuard,
  Gauge,
  type Log,
  machineChanged
} from '@fleetgate/kit'
import { createAuditTrail, createSecrets, loadKeyRing, openStore, startResealing } from '@fleetgate/store'
import { createDevicesApp } from './app.js'
import type { Config } from './config.js'
import { createDashboards } from './dashboards/dashboard.js'
import { createDashboardStore } from './dashboards/dashboardStore.js'
import { createDeskStore } from './dashboards/deskStore.js'
import { createShareStore } from './dashboards/shareStore.js'
import { createShares } from './dashboards/shares.js'
import { createReachOf } from './grants/reach.js'
import { createGrantNow, watchGrants } from './grants/watchGrants.js'
import { imageRoutes } from './images/beaver.js'
import { createImages } from './images/image.js'
import { createImageStore } from './images/imageStore.js'
import { createLive } from './live/liveServer.js'
import { serveNames } from './names/names.js'
import { createSweep } from './sweep.js'
import { brokerInfoRoutes } from './templates/brokerInfo.js'
import { createThings } from './things.js'
import { createHooks } from './workflows/hooks.js'
import { createWorkflowParts } from './workflows/parts.js'

/** One bulk write for so many messages; what a replica had at hand when it was killed goes to another after this time. */
const topicWork = { maxBatch: 4000, ackWaitMs: 10_000 }
const purgeEveryMs = 10 * 60_000

export interface StartOptions {
  config: Config
  log: Log
  /** Takes what must be closed at the end, in reverse order. */
  add: (name: string, close: () => Promise<unknown> | unknown) => void
}

/** Connects, wires and listens. */
export async function startDevices({ config, log, add }: StartOptions): Promise<{ port: number }> {
  const store = await openStore({ uri: config.MONGODB_URI, database: 'fleetgate_devices', log })
  add('store', () => store.close())
  const bus = await connectBus({ name: 'devices', url: config.NATS_URL, log })
  add('bus', () => bus.close())
  const dashboardStore = createDashboardStore({ store, bus, log, now: Date.now })
  const desks = createDeskStore({ store })
  const shareStore = createShareStore({ store })
  const images = createImages({
    store: createImageStore({ store }),
    dashboards: dashboardStore,
    maxSize: config.MAX_IMAGES_SIZE,
    now: Date.now
  })
  const hooks = createHooks()
  const things = await createThings({
    ...{ store, bus, log, now: Date.now, historyDays: config.HISTORY_DAYS, workflows: hooks }
  })
  const secrets = createSecrets({ keys: loadKeyRing({ file: config.SECRETS_KEY_FILE, value: config.SECRETS_KEY }) })
  const workflows = createWorkflowParts({ ...things, store, bus, log, secrets, settings: config, now: Date.now })
  const trail = createAuditTrail({ store, bus, log, service: 'devices' })
  await store.sync()
  trail.start()
  add('audit', () => trail.stop())
  const resealing = startResealing({ secrets, places: store.sealedPlaces, log })
  add('resealing', () => resealing.stop())
  for (const outbox of [dashboardStore.outbox, ...things.outboxes, workflows.outbox]) {
    outbox.start()
    add('outbox', () => outbox.stop())
  }
  const sweep = createSweep(
    async () => {
      await things.sweep()
      await workflows.sweep()
    },
    config.SWEEP_MS,
    log
  )
  add('sweep', () => sweep.stop())
  const expiring = createSweep(things.expire, config.SWEEP_MS, log)
  add('expiring', () => expiring.stop())
  const purge = setInterval(() => {
    Promise.all([dashboardStore.purge(), shareStore.removeExpired(Date.now()), images.clean()]).catch((err) =>
      log.warn({ err }, 'deleted dashboards, old links and images not removed, trying again later')
    )
  }, purgeEveryMs)
  add('purge', () => clearInterval(purge))
  const { grants, watches } = await watchGrants(bus)
  for (const watch of watches) add('grants', () => watch.stop())
  const names = await serveNames(bus, { ...things, dashboards: dashboardStore, workflows: workflows.store })
  add('names', () => names.stop())
  const guard = await createGuard({ bus, log })
  add('guard', () => guard.close())

  const grantNow = createGrantNow(bus, grants, log)
  const creatorsOf = createCreatorsOf(bus, log)
  const working = workflows.begin()
  add('workflows', () => working.stop())
  hooks.bind({ ...working.events, remove: (ids, caller) => workflows.removeReached(ids, caller, grants) })
  const timers = createSweep(working.events.onTime, config.WORKFLOW_POLL_MS, log)
  add('timers', () => timers.stop())

  const app = createDevicesApp({
    log,
    guard,
    auditor: createAuditor(trail, log),
    things: [...things.routes(grants, creatorsOf), ...brokerInfoRoutes(config), ...imageRoutes(images)],
    workflows: working.routes({ grants, grantNow, creatorsOf, reachOf: things.reachOf(grants) }),
    dashboards: createDashboards({
      store: dashboardStore,
      desks,
      shares: shareStore,
      entities: things.entities,
      grants,
      grantNow,
      creatorsOf,
      max: config.MAX_DASHBOARDS,
      maxSize: config.MAX_DASHBOARDS_SIZE,
      now: Date.now
    }),
    shares: createShares({
      store: shareStore,
      dashboards: dashboardStore,
      grants,
      ...things.shown(grants),
      now: Date.now
    }),
    creatorsOf,
    now: Date.now,
    checks: { mongodb: () => store.ready(), nats: () => bus.isReady() },
    checkReplies: config.CHECK_REPLIES
  })
  const listening = await app.listen(config.PORT, config.HOST)
  add('http', () => listening.close(config.DRAIN_MS))
  const reachOf = createReachOf({ grants, provision: things.provision })
  const live = createLive({
    ...{ server: app.server, guard, bus, entities: things.entities, reachOf, grants, log, now: Date.now },
    maxSockets: config.MAX_WEBSOCKETS,
    pingMs: config.WEBSOCKET_PING_MS
  })
  new Gauge({
    name: 'devices_websockets_open',
    help: 'Websockets that hear of new values',
    registers: [app.metrics.registry],
    collect() {
      this.set(live.count())
    }
  })
  add('live', () => live.close())
  // Values first: what a workflow reads is then what its message has brought. Both may be repeated.
  const messages = await bus.consumeUplink(['topic'], { durable: 'devices-topic', ...topicWork }, async (batch) => {
    await things.onTopic(batch)
    await working.events.onTopic(batch)
  })
  add('messages', () => messages.stop())
  const machines = await bus.consume(
    machineChanged,
    { durable: 'devices-machines', maxBatch: 16 },
    things.fleet.onChanged
  )
  add('machines', () => machines.stop())
  const comparing = createSweep(things.fleet.reconcile, config.FLEET_RECONCILE_MS, log)
  add('comparing', () => comparing.stop())
  return { port: listening.port }
}
