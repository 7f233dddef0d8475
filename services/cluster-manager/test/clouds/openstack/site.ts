import { randomUUID } from 'node:crypto'
import { type Cloud, type FakeAnswer, type Fault, json, type Rule } from '../cloud.js'

export interface FakeGroup {
  id: string
  name: string
  rules: Rule[]
}

/** What Nova and Neutron of one cloud share. */
export interface Site {
  cloud: Cloud
  /** By id; two may have one name. */
  groups: Map<string, FakeGroup>
  ids: Record<'tiny' | 'flavor' | 'image' | 'network' | 'pool', string>
  /** Told to go where deletions are deferred: no list shows them, and they keep what they have. */
  deferred: Set<string>
}

export function newSite(cloud: Cloud): Site {
  const [tiny, flavor, image] = [randomUUID(), randomUUID(), randomUUID()]
  const ids = { tiny, flavor, image, network: randomUUID(), pool: randomUUID() }
  return { cloud, groups: new Map(), ids, deferred: new Set() }
}

/** A path's kind, id and what is done to it: `/servers/<id>/action`. */
export function partsOf(path: string): { kind: string; id: string; action: string } {
  const [, kind = '', id = '', action = ''] = /^\/([a-z-]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path) ?? []
  return { kind, id, action }
}

/** One page, after the marker; a full one has a link to the next, even where nothing is left for that. */
export function pageOf<T extends { id: string }>(all: T[], url: URL, most: number) {
  const limit = Math.min(Number(url.searchParams.get('limit') ?? most), most)
  const marker = url.searchParams.get('marker')
  const from = marker ? all.findIndex(({ id }) => id === marker) + 1 : 0
  const items = all.slice(from, from + limit)
  return { items, isFull: items.length > 0 && items.length === limit }
}

/** As Nova and Neutron answer lists. */
export function page<T extends { id: string }>(key: string, all: T[], url: URL, most: number): FakeAnswer {
  const { items, isFull } = pageOf(all, url, most)
  const links = isFull ? [{ rel: 'next', href: `${url.pathname}?marker=${items.at(-1)?.id}` }] : []
  return json(200, { [key]: items, ...(links.length > 0 ? { [`${key}_links`]: links } : {}) })
}

/** Errors of Nova. */
export function nova(status: number, kind: string, message: string): FakeAnswer {
  return json(status, { [kind]: { code: status, message } })
}

/** Errors of Neutron. */
export function neutron(status: number, type: string, message: string): FakeAnswer {
  return json(status, { NeutronError: { type, message, detail: '' } })
}

export function overQuota(resource: string): FakeAnswer {
  return neutron(409, 'OverQuota', `Quota exceeded for resources: ['${resource}'].`)
}

/** Of Keystone, and of its filter before every other service. */
export const unauthorized: FakeAnswer = json(401, {
  error: { code: 401, title: 'Unauthorized', message: 'The request you have made requires authentication.' }
})

export function faulty(fault: Fault): FakeAnswer {
  if (fault === 'quota')
    return nova(403, 'forbidden', 'Quota exceeded for cores: Requested 2, but already used 8 of 8 cores')
  if (fault === 'throttled')
    return json(429, { overLimit: { code: 429, message: 'This request was rate-limited.' } }, { 'retry-after': '1' })
  if (fault === 'credentials')
    return nova(403, 'forbidden', "Policy doesn't allow os_compute_api:servers:create to be performed.")
  // As a proxy before the services says it.
  const body =
    '<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>'
  return { status: 503, body, headers: { 'content-type': 'text/html' } }
}
