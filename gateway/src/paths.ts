import { beaverAlias, type PrefixRule, picturePath, ruleOf, sharedPath, uploadedPath } from '@fleetgate/contracts'

/** Where a request goes: the rule that was authorised and the exact URL its service will see. */
export interface Destination {
  rule: PrefixRule
  /** Canonical path without the query, alias removed. */
  path: string
  /** `path` with the untouched query string. */
  url: string
}

/** Why a request target goes nowhere. `ambiguous`: two readers could resolve it to different paths. */
export type Refusal = 'unknown' | 'ambiguous'

// Almost every path passes this one test and is used as it is.
const unusual = /\/\/|\/\.|%2e|%2f|%5c|\\|#|https?:\//i

/**
 * Routes a request target by the first matching prefix rule. Matching is case-sensitive and on the raw text: an
 * encoded letter of a prefix is another path, so nothing can mean one service here and another one there.
 */
export function route(target: string): Destination | Refusal {
  const origin = target.charCodeAt(0) === 47 ? target : originForm(target)
  if (origin === undefined) return 'unknown'
  const mark = origin.indexOf('?')
  const raw = mark < 0 ? origin : origin.slice(0, mark)
  const path = unusual.test(raw) ? canonical(raw) : raw
  if (path === undefined) return 'ambiguous'
  return find(path, mark < 0 ? '' : origin.slice(mark))
}

function find(path: string, query: string): Destination | Refusal {
  const rule = ruleOf(path)
  if (rule) return { rule, path, url: path + query }
  if (!path.startsWith(`${beaverAlias}/`)) return 'unknown'
  const inner = path.slice(beaverAlias.length)
  const innerRule = ruleOf(inner)
  if (innerRule?.dialect !== 'beaver') return 'unknown'
  return { rule: innerRule, path: inner, url: inner + query }
}

/** `GET http://host/path` (RFC 9112 §3.2.2) is as good as `GET /path`; `*` and the like are not paths. */
function originForm(target: string): string | undefined {
  const match = /^https?:\/\/[^/?#]*/i.exec(target)
  if (!match) return undefined
  const rest = target.slice(match[0].length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** MQTT topics in a path, whose every slash counts: `routers//World` is about `/World`. Around them slashes may be doubled. */
const topicPaths = [
  /^(\/+api\/+v2\/+(?:routers|routes)\/)(.+)()$/,
  /^(\/+v2\/+[^/]+\/+instances\/+[^/]+\/+topics\/)(.+)(\/accesspolicy\/*)$/
]

/**
 * Doubled slashes become one, as every common proxy does; those of a topic are encoded, so that no doubled one is left for
 * another reader to merge. Dot segments, plain or encoded, are refused: clients resolve them before they send, so here they
 * are only an attempt to be routed as one path and served as another. Encoded slashes stay: MQTT topics in EMQ paths carry
 * them.
 */
function canonical(raw: string): string | undefined {
  if (raw.includes('#')) return undefined
  const decoded = raw.replace(/%2f|%5c|\\/gi, '/').replace(/%2e/gi, '.')
  if (decoded.split('/').some((segment) => segment === '.' || segment === '..')) return undefined
  // http-proxy's path joining turns `http:/` into `http://`; the encoded colon means the same to the service.
  return withTopic(raw)
    .replace(/\/{2,}/g, '/')
    .replace(/(https?):\//gi, '$1%3A/')
}

/** Nothing else is changed: a signed path has to reach its service as it was signed. */
function withTopic(raw: string): string {
  const match = topicPaths.map((form) => form.exec(raw)).find((found) => found !== null)
  const [, before = '', topic = '', after = ''] = match ?? []
  return /^\/|\/\/|\/$/.test(topic) ? before + topic.replaceAll('/', '%2F') + after : raw
}

/** Requests that start workflows prove themselves to the service, with a credential of its own. */
const httpInPath = '/workflow-http-in/'

const publicRoutes = new Set([
  'POST /oauth2/token',
  'GET /oauth2/jwks',
  'HEAD /oauth2/jwks',
  'POST /user/register',
  'GET /user/status',
  'HEAD /user/status',
  'POST /v1/user/login',
  'POST /api/v2/auth',
  'POST /v1/clients/enrol',
  'POST /v3/auth/tokens'
])

/** Routes that need no token: how people and machines get one. The service decides everything else about them. */
export function isPublic(method: string, path: string): boolean {
  return (
    publicRoutes.has(`${method} ${withoutSlash(path)}`) ||
    path.startsWith(httpInPath) ||
    (path.startsWith(uploadedPath) && (isRead(method) || method === 'PUT')) ||
    (isRead(method) && (path.startsWith(sharedPath) || path.startsWith(picturePath)))
  )
}

/** Of the public routes those by which people and machines get a token: what they are sent is never large. */
export function isForCredentials(path: string): boolean {
  return publicRoutes.has(`POST ${withoutSlash(path)}`)
}

/** Where files of any size are sent to. */
export function isUpload(path: string): boolean {
  return path === '/v1/files' || path.startsWith('/v1/files/')
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** Whether it changes nothing however often it is sent. A workflow starts whatever the method is. */
export function isRepeatable(method: string, path: string): boolean {
  return isRead(method) && !path.startsWith(httpInPath)
}

export function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}
