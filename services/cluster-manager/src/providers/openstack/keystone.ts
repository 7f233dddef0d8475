import type { HttpAnswer } from '@fleetgate/kit/outbound'
import { type Call, CloudProblem } from '../driver.js'
import { problemOf } from './answers.js'
import { parsed } from './exchange.js'
import type { ServiceType } from './openstackClient.js'
import type { Login, OpenstackSettings } from './settings.js'

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

interface TokenBody {
  catalog?: CatalogEntry[]
  project?: { name?: string; domain?: { name?: string } }
}

/** Logs in with the project as scope (Identity API v3). */
export async function openToken(
  settings: OpenstackSettings,
  { send, call, now }: { send: Send; call: Call; now: () => number }
): Promise<Token> {
  const { authUrl, login, region } = settings
  const answer = await send(call, 'POST', `${authUrl}/auth/tokens`, {}, { auth: authOf(settings) })
  const { token, error } = parsed(answer) as { token?: TokenBody; error?: unknown }
  // 404 is for an application credential, or a user, that is not there.
  if (answer.status === 401 || (answer.status === 404 && error))
    throw new CloudProblem('credentials', `OpenStack refuses the log-in: ${refusals[login.kind]}`)
  const id = answer.headers['x-subject-token']
  // 404 and the like of something else; Keystone's own come with its `error`.
  const isOther = answer.status < 300 ? !id || !token : answer.status < 500 && answer.status !== 429 && !error
  if (isOther) throw new CloudProblem('invalid', 'OpenStack: what answers at the auth url is no Keystone v3')
  if (answer.status >= 300 || !id || !token) throw problemOf(answer, now())
  checkProject(token, settings)
  return { id, catalog: catalogOf(token.catalog ?? [], region) }
}

const refusals: Record<Login['kind'], string> = {
  password: 'name, password or project is wrong',
  credential: 'the application credential is wrong, or has run out',
  namedCredential: 'the application credential, or whose it is, is wrong, or it has run out'
}

/** An application credential brings its project; Keystone refuses one that is told a scope besides. */
function authOf({ login, project, domain: name }: OpenstackSettings): object {
  const domain = { name }
  if (login.kind === 'password') {
    const user = { name: login.username, domain, password: login.password }
    return {
      identity: { methods: ['password'], password: { user } },
      scope: { project: { name: project, domain } }
    }
  }
  const { secret } = login
  const named =
    login.kind === 'credential' ? { id: login.id } : { name: login.name, user: { name: login.username, domain } }
  return { identity: { methods: ['application_credential'], application_credential: { ...named, secret } } }
}

/** Where machines are does not change with a log-in: in another project they would look as if they were gone. Names of domains know no case. */
function checkProject({ project: found }: TokenBody, { login, project, domain }: OpenstackSettings): void {
  if (login.kind === 'password') return
  const isOther = found?.name !== project || found.domain?.name?.toLowerCase() !== domain.toLowerCase()
  if (!isOther) return
  const [there, wanted] = [`${found?.name} in ${found?.domain?.name}`, `${project} in ${domain}`]
  throw new CloudProblem(
    'credentials',
    `OpenStack: the application credential is for the project ${there}, not for ${wanted}`
  )
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
