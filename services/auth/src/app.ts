import { type App, createApp, dialects, type Guard, type Log, type Route } from '@fleetgate/kit'
import type { AccessKeys } from './accessKeys/accessKeys.js'
import { accessKeyRoutes } from './accessKeys/iam.js'
import type { Audit } from './audit/audit.js'
import { auditActions } from './audit/auditActions.js'
import { auditRoutes } from './audit/beaver.js'
import { type Directory, directoryRoutes } from './directory.js'
import { keyRoutes } from './keys/beaver.js'
import type { SigningKeys } from './keys/signingKeys.js'
import { serviceTokenRoutes } from './serviceTokens/beaver.js'
import type { ServiceTokens } from './serviceTokens/serviceTokens.js'
import { type OAuthClient, tokenRoutes } from './tokens/beaver.js'
import { iamLoginRoutes } from './tokens/iam.js'
import { loginRoutes } from './tokens/linker.js'
import type { Tokens } from './tokens/tokens.js'
import { publicUserRoutes, userRoutes } from './users/beaver.js'
import { iamPlaceRoutes } from './users/iam.js'
import type { Registration } from './users/registration.js'
import type { Users } from './users/users.js'

export interface AuthAppDeps {
  log: Log
  guard: Guard
  tokens: Tokens
  keys: SigningKeys
  users: Users
  directory: Directory
  registration: Registration
  serviceTokens: ServiceTokens
  accessKeys: AccessKeys
  audit: Audit
  client: OAuthClient
  checks: Record<string, () => boolean | Promise<boolean>>
  checkReplies: boolean
}

export function createAuthApp(deps: AuthAppDeps): App {
  const { log, guard, tokens, checks, checkReplies } = deps
  return createApp({
    service: 'auth',
    log,
    guard,
    checks,
    checkReplies,
    audit: { auditor: deps.audit, actions: auditActions },
    apis: [
      { dialect: dialects.beaver, routes: beaverRoutes(deps) },
      { dialect: dialects.linker, routes: loginRoutes(tokens) },
      { dialect: dialects.iam, routes: iamRoutes(deps) }
    ]
  })
}

function beaverRoutes(deps: AuthAppDeps): Route[] {
  const { tokens, keys, users, directory, registration, client, serviceTokens, audit } = deps
  return [
    ...tokenRoutes(tokens, keys, client),
    ...keyRoutes(keys),
    ...publicUserRoutes(registration, audit),
    ...userRoutes(users, directory.members),
    ...directoryRoutes(directory),
    ...serviceTokenRoutes(serviceTokens),
    ...auditRoutes(audit)
  ]
}

function iamRoutes({ tokens, directory: { members }, accessKeys }: AuthAppDeps): Route[] {
  return [...iamLoginRoutes({ tokens, members, now: Date.now }), ...iamPlaceRoutes(), ...accessKeyRoutes(accessKeys)]
}
