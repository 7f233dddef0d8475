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
import { mailRoutes } from './mail/linker.js'
import type { Mails } from './mail/mail.js'
import { providerRoutes } from './providers/linker.js'
import type { Providers } from './providers/provider.js'
import { pubkeyRoutes } from './pubkeys/linker.js'
import type { Pubkeys } from './pubkeys/pubkey.js'
import { smtpRoutes } from './smtp/linker.js'
import type { Smtp } from './smtp/smtp.js'

export interface ClusterManagerAppDeps {
  log: Log
  guard: Guard
  auditor: Auditor
  pubkeys: Pubkeys
  smtp: Smtp
  providers: Providers
  mails: Mails
  creatorsOf: CreatorsOf
  /** Clusters, hosts, registries, operations and the log. */
  clusterRoutes: Route[]
  checks: Record<string, () => boolean | Promise<boolean>>
  checkReplies: boolean
}

export function createClusterManagerApp(deps: ClusterManagerAppDeps): App {
  const { log, guard, auditor, pubkeys, smtp, providers, mails, creatorsOf, clusterRoutes, checks, checkReplies } = deps
  return createApp({
    service: 'cluster-manager',
    log,
    guard,
    audit: { auditor, actions: auditActions },
    checks,
    checkReplies,
    apis: [
      {
        dialect: dialects.linker,
        routes: [
          ...pubkeyRoutes(pubkeys, creatorsOf),
          ...mailRoutes(mails),
          ...smtpRoutes(smtp),
          ...providerRoutes(providers, creatorsOf),
          ...clusterRoutes
        ]
      }
    ]
  })
}
