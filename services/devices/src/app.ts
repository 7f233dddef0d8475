import { type App, createApp, dialects, type Guard, type Log, type Route } from '@fleetgate/kit'
import { dashboardRoutes } from './dashboards/beaver.js'
import type { Dashboards } from './dashboards/dashboard.js'

export interface DevicesAppDeps {
  log: Log
  guard: Guard
  dashboards: Dashboards
  /** Of integrations, devices, entities and their history. */
  things: Route[]
  workflows: Route[]
  checks: Record<string, () => boolean | Promise<boolean>>
  checkReplies: boolean
}

export function createDevicesApp({
  log,
  guard,
  dashboards,
  things,
  workflows,
  checks,
  checkReplies
}: DevicesAppDeps): App {
  return createApp({
    service: 'devices',
    log,
    guard,
    checks,
    checkReplies,
    apis: [{ dialect: dialects.beaver, routes: [...dashboardRoutes(dashboards), ...things, ...workflows] }]
  })
}
