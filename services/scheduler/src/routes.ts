import type { CreatorsOf, Route } from '@fleetgate/kit'
import { alertRoutes } from './alerts/sdes.js'
import { attributeRoutes } from './attributes/sdes.js'
import { infoRoutes } from './bindings/infoSdes.js'
import { boundLists } from './bindings/lists.js'
import { bindingRoutes } from './bindings/sdes.js'
import { clientRoutes } from './clients/sdes.js'
import { dashboardRoutes } from './dashboard/sdes.js'
import { enrolmentRoutes } from './enrolments/sdes.js'
import { groupRoutes } from './groups/sdes.js'
import { runRoutes } from './jobs/bindingsSdes.js'
import { jobRoutes } from './jobs/sdes.js'
import { clientLogRoutes } from './logs/clientLogsSdes.js'
import { logRoutes } from './logs/sdes.js'
import { maintenanceRoutes } from './maintenance/sdes.js'
import type { createOperations, Stores } from './parts.js'
import type { createOpenRun } from './runs/openRun.js'
import type { RunControl } from './runs/runControl.js'
import { controlRoutes } from './runs/sdes.js'
import { settingsRoutes } from './settings/sdes.js'
import type { Settings } from './settings/settings.js'
import { taskRoutes } from './tasks/sdes.js'

export interface RoutesDeps extends ReturnType<typeof createOperations>, Pick<Stores, 'jobLinks' | 'members'> {
  openRun: ReturnType<typeof createOpenRun>
  runControl: RunControl
  settings: Settings
  creatorsOf: CreatorsOf
  now: () => number
}

/** Every route of the SDES dialect. */
export function restRoutes(deps: RoutesDeps): Route[] {
  const { clients, groups, tasks, jobs, attributes, bindings, logs, settings, now } = deps
  return [
    ...settingsRoutes(settings),
    ...clientRoutes(clients, settings),
    ...enrolmentRoutes(deps),
    ...attributeRoutes(attributes, clients),
    ...groupRoutes(groups, now),
    ...taskRoutes(tasks, settings),
    ...jobRoutes(jobs, settings),
    ...infoRoutes(deps),
    ...bindingRoutes(bindings, boundLists(deps)),
    ...maintenanceRoutes(bindings),
    ...runRoutes(deps.openRun),
    ...controlRoutes(deps.runControl),
    ...logRoutes(logs, now),
    ...clientLogRoutes(deps),
    ...dashboardRoutes(deps.dashboard, now),
    ...alertRoutes(deps.alerts)
  ]
}
