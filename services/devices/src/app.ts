import {
  type App,
  type Auditor,
  type CreatorsOf,
  createApp,
  dialects,
  type Guard,
  type Log,
  type Route
} from '@fleetgate/kit'
import { auditActions } from './auditActions.js'
import { dashboardRoutes } from './dashboards/beaver.js'
import type { Dashboards } from './dashboards/dashboard.js'
import { dashboardShareRoutes } from './dashboards/shareBeaver.js'
import type { Shares } from './dashboards/shares.js'

export interface DevicesAppDeps {
  log: Log
  guard: Guard
  auditor: Auditor
  dashboards: Dashboards
  shares: Shares
  creatorsOf: CreatorsOf
  now: () => number
  /** Of integrations, devices, entities and their history. */
  things: Route[]
  workflows: Route[]
  checks: Record<string, () => boolean | Promise<boolean>>
  checkReplies: boolean
}

export function createDevicesApp({
  log,
  guard,
  auditor,
  dashboards,
  shares,
  creatorsOf,
  now,
  things,
  workflows,
  checks,
  checkReplies
}: DevicesAppDeps): App {
  return createApp({
    service: 'devices',
    log,
    guard,
    audit: { auditor, actions: auditActions },
    checks,
    checkReplies,
    apis: [
      {
        dialect: dialects.beaver,
        routes: [
          ...dashboardRoutes(dashboards),
          ...dashboardShareRoutes(shares, creatorsOf, now),
          ...things,
          ...workflows
        ]
      }
    ]
  })
}
