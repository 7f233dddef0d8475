import type { HttpAnswer } from '@fleetgate/kit/outbound'
import { type Call, CloudProblem } from '../driver.js'
import { problemOf } from './answers.js'
import { parsed } from './exchange.js'
import type { ServiceType } from './openstackClient.js'
import type { OpenstackSettings } from './settings.js'

export interface Token {
  id: string
  /** Addresses by type of service, without a slash at their ends. */
  catalog: Map<ServiceType, string>
}

type Send = (
  call: Call,
  method: string,
  url: string,
  headers: Record<string, string>,
  body?: unknown
) => Promise<HttpAnswer>

interface CatalogEntry {
  type?: string
  endpoints?: { interface?: string; region_id?: string; region?: string; url?: string }[]
}

/** Logs in by password with the project as scope (Identity API v3). */
export async function openToken(
  { authUrl, username, password, project, domain, region }: OpenstackSettings,
  { send, call, now }: { send: Send; call: Call; now: () => number }
): Promise<Token> {
  const auth = {
    identity: { methods: ['password'], password: { user: { name: username, domain: { name: domain }, password } } },
    scope: { project: { name: project, domain: { name: domain } } }
  }
  const answer = await send(call, 'POST', `${authUrl}/auth/tokens`, {}, { auth })
  if (answer.status === 401)
    throw new CloudProblem('credentials', 'OpenStack refuses the log-in: name, password or project is wrong')
  const { token, error } = parsed(answer) as { token?: { catalog?: CatalogEntry[] }; error?: unknown }
  const id = answer.headers['x-subject-token']
  // 404 and the like of something else; Keystone's own come with its `error`.
  const isOther = answer.status < 300 ? !id || !token : answer.status < 500 && answer.status !== 429 && !error
  if (isOther) throw new CloudProblem('invalid', 'OpenStack: what answers at the auth url is no Keystone v3')
  if (answer.status >= 300 || !id || !token) throw problemOf(answer, now())
  return { id, catalog: catalogOf(token.catalog ?? [], region) }
}

const services: readonly ServiceType[] = ['compute', 'image', 'network']

function catalogOf(entries: CatalogEntry[], region: string): Map<ServiceType, string> {
  const found = entries.flatMap(({ type, endpoints = [] }) => {
    const service = services.find((one) => one === type)
    const isHere = (one: { region_id?: string; region?: string }) =>
      region === '' || one.region_id === region || one.region === region
    const endpoint = endpoints.find((one) => one.interface === 'public' && isHere(one))
    const isUrl = endpoint?.url !== undefined && URL.canParse(endpoint.url)
    return service && isUrl ? [[service, (endpoint.url as string).replace(/\/+$/, '')] as const] : []
  })
  return new Map(found)
}
