import type { Bus, Log, Route } from '@fleetgate/kit'
import type { Store } from '@fleetgate/store'
import { deviceRoutes } from './devices/beaver.js'
import { createDevices } from './devices/device.js'
import { createDeviceStore } from './devices/deviceStore.js'
import { createSettling } from './devices/settle.js'
import { entityRoutes } from './entities/beaver.js'
import { valueRoutes } from './entities/beaverValues.js'
import { createCleaning } from './entities/clean.js'
import { createEntities } from './entities/entities.js'
import { createEntityStore } from './entities/entityStore.js'
import { createIngest } from './entities/ingest.js'
import { createRecorder } from './entities/recorder.js'
import { createValues } from './entities/values.js'
import type { Grants } from './grants/grants.js'
import { createReachOf } from './grants/reach.js'
import { historyRoutes } from './history/beaver.js'
import { createHistory } from './history/history.js'
import { createHistoryStore } from './history/historyStore.js'
import { createRetention } from './history/retention.js'
import { integrationRoutes } from './integrations/beaver.js'
import { createIntegrations } from './integrations/integration.js'
import { createProvision } from './integrations/provision.js'
import { loadIntegrations } from './integrations/registry.js'
import { createTools } from './integrations/tools.js'

export interface ThingsOptions {
  store: Store
  bus: Bus
  log: Log
  now: () => number
  /** Days that values are kept; 0 for ever. */
  historyDays: number
}

export type Things = Awaited<ReturnType<typeof createThings>>

/** Integrations, devices, entities and their history, wired. Models are made here: `store.sync()` comes after it. */
export async function createThings({ historyDays, ...parts }: ThingsOptions) {
  const { log, now } = parts
  const devices = createDeviceStore(parts)
  const entities = createEntityStore(parts)
  const history = createHistoryStore(parts)
  const recorder = createRecorder({ history, entities, now })
  const settling = createSettling({ devices, entities, log, now })
  const clean = createCleaning({ entities, history, log, now })
  const tools = createTools({ devices, entities, recorder, log, now })
  const registry = await loadIntegrations(tools)
  const provision = createProvision({ registry, entities })
  const expire = createRetention({ history, days: historyDays, now })

  return {
    devices,
    entities,
    registry,
    outboxes: [devices.outbox, entities.outbox],
    /** Finishes what crashes left undone, and removes what is too old. */
    async sweep(): Promise<void> {
      await settling.sweep()
      await clean()
      await expire()
    },
    routes(grants: Pick<Grants, 'scopeOf'>): Route[] {
      const reachOf = createReachOf({ grants, provision })
      const shared = { registry, reachOf, entities, now }
      const settle = async (id: string) => {
        await settling.settle(id)
        void clean()
      }
      const integrationName = (id: string) => registry.find(id)?.manifest.name
      return [
        ...integrationRoutes(createIntegrations({ ...shared, devices })),
        ...deviceRoutes(createDevices({ ...shared, store: devices, settle })),
        ...historyRoutes({ history: createHistory({ ...shared, store: history }), integrationName, now }),
        ...valueRoutes(createValues({ ...shared, recorder }), createIngest({ ...shared, recorder })),
        ...entityRoutes(createEntities({ ...shared, store: entities, clean }))
      ]
    }
  }
}
