/** The five documented APIs, by the name of their dialect, and of IAM what the clients of DMS sign in with. */
export const dialectNames = ['beaver', 'sdes', 'emq', 'dms', 'linker', 'iam'] as const
export type DialectName = (typeof dialectNames)[number]

export const serviceNames = ['auth', 'devices', 'scheduler', 'broker-proxy', 'cluster-manager'] as const
export type ServiceName = (typeof serviceNames)[number]

export interface PrefixRule {
  /** Path prefix; it matches the path itself and everything below it, on segment borders. */
  prefix: string
  service: ServiceName
  dialect: DialectName
  /** Matches only the path itself, nothing below it. */
  exact?: boolean
}

/** The prefix table of the gateway. More specific rules stand first; the first match wins. */
export const prefixRules: readonly PrefixRule[] = [
  { prefix: '/oauth2', service: 'auth', dialect: 'beaver' },
  { prefix: '/v1/user', service: 'auth', dialect: 'linker' },
  { prefix: '/user', service: 'auth', dialect: 'beaver' },
  { prefix: '/integration', service: 'devices', dialect: 'beaver' },
  { prefix: '/device', service: 'devices', dialect: 'beaver' },
  { prefix: '/device-group', service: 'devices', dialect: 'beaver' },
  { prefix: '/entity', service: 'devices', dialect: 'beaver' },
  { prefix: '/dashboard', service: 'devices', dialect: 'beaver' },
  { prefix: '/workflow-http-in', service: 'devices', dialect: 'beaver' },
  { prefix: '/credentials', service: 'devices', dialect: 'beaver' },
  { prefix: '/workflow', service: 'devices', dialect: 'beaver' },
  { prefix: '/mqtt', service: 'devices', dialect: 'beaver' },
  { prefix: '/public', service: 'devices', dialect: 'beaver' },
  { prefix: '/mqtt-device', service: 'devices', dialect: 'beaver' },
  { prefix: '/resource', service: 'devices', dialect: 'beaver' },
  { prefix: '/db-resource', service: 'devices', dialect: 'beaver' },
  { prefix: '/websocket', service: 'devices', dialect: 'beaver' },
  { prefix: '/v1/logs', service: 'cluster-manager', dialect: 'linker', exact: true },
  { prefix: '/v1/logs', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/jobs', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/tasks', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/groups', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/clients', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/dashboard', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/settings', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/config', service: 'scheduler', dialect: 'sdes' },
  { prefix: '/v1/files', service: 'broker-proxy', dialect: 'sdes' },
  { prefix: '/v1/cluster', service: 'cluster-manager', dialect: 'linker' },
  { prefix: '/v1/pubkey', service: 'cluster-manager', dialect: 'linker' },
  { prefix: '/v1/dockerregistries', service: 'cluster-manager', dialect: 'linker' },
  { prefix: '/v1/provider', service: 'cluster-manager', dialect: 'linker' },
  { prefix: '/v1/operations', service: 'cluster-manager', dialect: 'linker' },
  { prefix: '/v1/smtp', service: 'cluster-manager', dialect: 'linker' },
  { prefix: '/api/v2', service: 'broker-proxy', dialect: 'emq' },
  { prefix: '/v2', service: 'broker-proxy', dialect: 'dms' },
  { prefix: '/v3', service: 'auth', dialect: 'iam' },
  { prefix: '/v3.0', service: 'auth', dialect: 'iam' }
]

/** Beaver's own web client puts this before every path; the gateway strips it. */
export const beaverAlias = '/api/v1'

/** Links to dashboards need no token of a user: the link's own, a secret, follows in the path. */
export const sharedPath = '/dashboard/shared/'

/** Pictures of integrations, which pages show without a token. */
export const picturePath = '/public/'

/** Images of dashboards, put there and shown without a token: who knows the rest of the path may. */
export const uploadedPath = '/db-resource/public/'

/** A path as it may stand in a log: without the secret of a link. */
export function loggedPath(path: string): string {
  const start = [sharedPath, uploadedPath].find((one) => path.startsWith(one))
  return start === undefined ? path : path.slice(start.length).replace(/^[^/]*/, `${start}…`)
}

/** Finds the rule of a path (without query string), or nothing. A trailing slash does not matter. */
export function ruleOf(path: string): PrefixRule | undefined {
  return prefixRules.find((rule) => matches(rule, path))
}

function matches(rule: PrefixRule, path: string): boolean {
  if (!path.startsWith(rule.prefix)) return false
  const rest = path.slice(rule.prefix.length)
  if (rest === '' || rest === '/') return true
  return !rule.exact && rest.startsWith('/')
}
