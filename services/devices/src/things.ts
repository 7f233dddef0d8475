import type { Bus, CreatorsOf, Log, Route } from '@fleetgate/kit'
import type { Store } from '@fleetgate/store'
import { deviceRoutes } from './devices/beaver.js'
import { createDevices } from './devices/device.js'
import { createDeviceStore } from './devices/deviceStore.js'
import { createRegister } from './devices/register.js'
import { createSettling } from './devices/settle.js'
import { entityRoutes } from './entities/beaver.js'
import { valueRoutes } from './entities/beaverValues.js'
import { createCleaning } from './entities/clean.js'
import { createEntities } from './entities/entities.js'
import { createEntityStore } from './entities/entityStore.js'
import { commitMeasured, createCheck, createIngest, type Measured, reportMeasured } from './entities/ingest.js'
import type { Measurement } from './entities/measurement.js'
import { createRecorder } from './entities/recorder.js'
import { createRecordingStore } from './entities/recordingStore.js'
import { createValues } from './entities/values.js'
import { createFleet } from './fleet/fleet.js'
import type { Grants } from './grants/grants.js'
import { createReachOf, wholeReach } from './grants/reach.js'
import { historyRoutes } from './history/beaver.js'
import { createHistory } from './history/history.js'
import { createHistoryStore } from './history/historyStore.js'
import { createRetention } from './history/retention.js'
import { integrationRoutes } from './integrations/beaver.js'
import { createClaims } from './integrations/claims.js'
import { createIntegrations } from './integrations/integration.js'
import { createProvision } from './integrations/provision.js'
import { loadIntegrations } from './integrations/registry.js'
import { createTools } from './integrations/tools.js'
import { deviceGroupRoutes, entityTagRoutes } from './labels/beaver.js'
import { createDeviceGroups } from './labels/deviceGroups.js'
import { createEntityTags } from './labels/entityTags.js'
import { createLabelStore } from './labels/labelStore.js'
import { createLabelSweep } from './labels/labels.js'
import { createTellValues } from './live/tellValues.js'
import { createOnTopic } from './telemetry/onTopic.js'
import { templateRoutes } from './templates/beaver.js'
import { createTemplateStore } from './templates/templateStore.js'
import { createTemplates } from './templates/templates.js'
import { testTemplate } from './templates/testTemplate.js'
import type { Hooks } from './workflows/hooks.js'

export interface ThingsOptions {
  store: Store
  bus: Bus
  log: Log
  now: () => number
  /** Days that values are kept; 0 for ever. */
  historyDays: number
  /** Workflows, which are made above this. */
  workflows: Pick<Hooks, 'onValues' | 'onCalled' | 'call' | 'remove'>
}

export type Things = Awaited<ReturnType<typeof createThings>>

/** Integrations, devices, entities and their history, wired. Models are made here: `store.sync()` comes after it. */
export async function createThings({ historyDays, workflows, ...parts }: ThingsOptions) {
  const { log, now, bus } = parts
  const devices = createDeviceStore(parts)
  const entities = createEntityStore(parts)
  const history = createHistoryStore(parts)
  const templates = createTemplateStore(parts)
  const groups = createLabelStore(parts.store, 'deviceGroups')
  const tags = createLabelStore(parts.store, 'entityTags')
  const tellLive = createTellValues(parts)
  const tell = async (tenantId: string, samples: readonly Measurement[]) => {
    tellLive(tenantId, samples)
    await workflows.onValues(tenantId, samples)
  }
  const tellCalled: Hooks['onCalled'] = (...called) => workflows.onCalled(...called)
  const recordings = createRecordingStore(parts)
  const recorder = createRecorder({ history, entities, recordings, tell, log, now })
  const report = (tenantId: string, measured: Measured[]) =>
    reportMeasured({ entities, recorder, now }, tenantId, measured)
  const claims = createClaims({
    ...parts,
    report: (tenantId, key, value) => commitMeasured({ entities, recorder, now }, tenantId, [{ key, value }])
  })
  const tools = createTools({ devices, entities, templates, recorder, workflows, claims, bus, log, now })
  const registry = await loadIntegrations(tools)
  const settling = createSettling({ devices, entities, registry, log, now })
  const clean = createCleaning({ entities, history, log, now })
  const register = createRegister({ store: devices, templates, settle: settling.settle, now })
  const provision = createProvision({ registry, entities })
  const sweepGroups = createLabelSweep({ store: groups, takeOff: devices.leaveGroups, now })
  const sweepTags = createLabelSweep({ store: tags, takeOff: entities.dropTags, now })

  const { settle: settleDevice } = settling

  return {
    devices,
    entities,
    registry,
    clean,
    /** With the product's own rights. */
    values: createValues({ entities, recorder, registry, tellCalled, reachOf: async () => wholeReach }),
    reachOf: (grants: Pick<Grants, 'scopeOf'>) => createReachOf({ grants, provision }),
    provision,
    onTopic: createOnTopic({
      templates,
      devices,
      register,
      settle: settleDevice,
      checks: (tenantId) => createCheck({ entities, now }, { tenantId, reach: wholeReach }),
      parts: recorder.inParts
    }),
    fleet: createFleet({ devices, entities, settle: settleDevice, report, bus, log, now }),
    outboxes: [devices.outbox, entities.outbox],
    /** Removes values that are too old; the first time there may be very many. */
    expire: createRetention({ history, days: historyDays, now }),
    /** Finishes what crashes left undone. */
    async sweep(): Promise<void> {
      await settling.sweep()
      await recorder.sweep()
      await claims.sweep()
      await sweepGroups()
      await sweepTags()
      await clean()
    },
    /** Entities and their values as somebody may see them. */
    shown(grants: Pick<Grants, 'scopeOf'>) {
      const reachOf = createReachOf({ grants, provision })
      return { entities, reachOf, history: createHistory({ entities, reachOf, store: history }) }
    },
    routes(grants: Pick<Grants, 'scopeOf'>, creatorsOf: CreatorsOf): Route[] {
      const reachOf = createReachOf({ grants, provision })
      const shared = { registry, reachOf, entities, now }
      const settle = async (id: string) => {
        await settling.settle(id)
        void clean()
      }
      const deviceGroups = createDeviceGroups({ ...shared, store: groups, devices })
      const integrationName = (id: string) => registry.find(id)?.manifest.name
      return [
        ...integrationRoutes(createIntegrations({ ...shared, devices })),
        ...deviceRoutes(
          createDevices({
            ...{ ...shared, store: devices, groups, groupNamed: deviceGroups.named },
            ...{ settle, register, creatorsOf }
          })
        ),
        ...deviceGroupRoutes(deviceGroups),
        ...entityTagRoutes(createEntityTags({ ...shared, store: tags })),
        ...templateRoutes(
          createTemplates({ store: templates, devices, settle: settling.settle, reachOf, now }),
          testTemplate
        ),
        ...historyRoutes({ history: createHistory({ ...shared, store: history }), integrationName, now }),
        ...valueRoutes(createValues({ ...shared, recorder, tellCalled }), createIngest({ ...shared, recorder })),
        ...entityRoutes(
          createEntities({
            ...{ ...shared, store: entities, tags, groups, devices, clean },
            removeWorkflows: workflows.remove
          })
        )
      ]
    }
  }
}
