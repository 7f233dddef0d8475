import type { Http } from '@fleetgate/kit/outbound'
import { type Call, CloudProblem } from '../driver.js'
import { problemOf } from './answers.js'
import { type Ask, answered, type Body, unanswered } from './exchange.js'
import { openToken, type Token } from './keystone.js'
import type { OpenstackSettings } from './settings.js'

export type ServiceType = 'compute' | 'image' | 'network'

export interface OpenstackClient {
  /** One request to a service of the catalog; throws a CloudProblem. The answer's body is parsed, `{}` where there is none. */
  ask(service: ServiceType, path: string, call: Call, ask?: Ask): Promise<{ status: number; body: Body }>
  /** Every item of a list, over all its pages. */
  all<T>(service: ServiceType, path: string, key: string, call: Call): Promise<T[]>
}

const pageSize = 100
/** Of one list; more is not read, so that a cloud that goes on for ever ends. */
const maxPages = 200

/** Where a service's version is not part of its address in the catalog. */
const versions: Record<ServiceType, RegExp> = {
  compute: /\/v2(\.1)?(\/|$)/,
  image: /\/v2(\/|$)/,
  network: /\/v2\.0(\/|$)/
}
const added: Record<ServiceType, string> = { compute: '/v2.1', image: '/v2', network: '/v2.0' }

/** Keystone's token is kept for as long as the client, and renewed once where a service refuses it. */
export function createOpenstackClient(settings: OpenstackSettings, http: Http, now: () => number): OpenstackClient {
  let token: Promise<Token> | undefined

  function login(call: Call): Promise<Token> {
    token ??= openToken(settings, { send, call, now })
    token.catch(() => {
      token = undefined
    })
    return token
  }

  async function send(call: Call, method: string, url: string, headers: Record<string, string>, body?: unknown) {
    const content = body === undefined ? {} : { body: JSON.stringify(body) }
    const all = { accept: 'application/json', 'content-type': 'application/json', ...headers }
    try {
      return await http({ method, url, headers: all, ...content, signal: call.signal })
    } catch (cause) {
      call.signal.throwIfAborted()
      throw unanswered(cause)
    }
  }

  function ask(service: ServiceType, path: string, call: Call, { method = 'GET', body, allow }: Ask = {}) {
    return answered({
      async send() {
        const current = await login(call)
        return send(call, method, `${baseOf(current, service)}${path}`, { 'x-auth-token': current.id }, body)
      },
      forget: () => {
        token = undefined
      },
      allow,
      problemOf: (answer) => problemOf(answer, now())
    })
  }

  return {
    ask,
    async all<T>(service: ServiceType, path: string, key: string, call: Call): Promise<T[]> {
      const items = new Map<string, T>()
      let marker = ''
      for (let page = 0; page < maxPages; page++) {
        const query = `${path.includes('?') ? '&' : '?'}limit=${pageSize}${marker && `&marker=${encodeURIComponent(marker)}`}`
        const { body } = await ask(service, `${path}${query}`, call)
        const found = (body[key] ?? []) as (T & { id: string })[]
        for (const item of found) items.set(item.id, item)
        const last = found.at(-1)
        if (!last || !hasMore(body, key)) break
        marker = last.id
      }
      return [...items.values()]
    }
  }
}

/** Pages may be smaller than what was asked for. Nova and Neutron tell of the next one in `<key>_links`, Glance in `next`. */
function hasMore(body: Body, key: string): boolean {
  const links = body[`${key}_links`]
  return body.next !== undefined || (Array.isArray(links) && links.some(({ rel }) => rel === 'next'))
}

function baseOf({ catalog }: Token, service: ServiceType): string {
  const url = catalog.get(service)
  if (!url) throw new CloudProblem('invalid', `OpenStack: the catalog has no ${service} service in this region`)
  return versions[service].test(new URL(url).pathname) ? url : `${url}${added[service]}`
}
