import { type App, type CreatorsOf, createApp, dialects, type Guard, type Log } from '@fleetgate/kit'
import { pubkeyRoutes } from './pubkeys/linker.js'
import type { Pubkeys } from './pubkeys/pubkey.js'

export interface ClusterManagerAppDeps {
  log: Log
  guard: Guard
  pubkeys: Pubkeys
  creatorsOf: CreatorsOf
  checks: Record<string, () => boolean | Promise<boolean>>
  checkReplies: boolean
}

export function createClusterManagerApp(deps: ClusterManagerAppDeps): App {
  const { log, guard, pubkeys, creatorsOf, checks, checkReplies } = deps
  return createApp({
    service: 'cluster-manager',
    log,
    guard,
    checks,
    checkReplies,
    apis: [{ dialect: dialects.linker, routes: pubkeyRoutes(pubkeys, creatorsOf) }]
  })
}
