import { randomUUID } from 'node:crypto'
import type { Test } from '../../support.js'
import { type Cloud, type FakeAnswer, type FakeRequest, json, newCloud, serve } from '../cloud.js'
import { startNeutron } from './neutron.js'
import { startNova } from './nova.js'
import { faulty, newSite, pageOf, unauthorized } from './site.js'

interface User {
  name: string
  domain?: { name: string }
}

interface Auth {
  identity: {
    methods: string[]
    password?: { user: User & { password: string } }
    application_credential?: { id?: string; name?: string; secret: string; user?: User }
  }
  scope?: { project: { name: string } }
}

/** Two of the user `fleet`, the second for another project of his. */
const credentials = [
  { id: '0ba5ed', name: 'tills', project: 'till' },
  { id: '0ff1ce', name: 'offices', project: 'office' }
]

/** What Keystone looks for before it compares. */
function missingOf({ identity }: Auth): string | undefined {
  const { id, user } = identity.application_credential ?? {}
  if (id !== undefined && !credentials.some((one) => one.id === id)) return `Application Credential: ${id}`
  return user && user.domain?.name === 'Default' && user.name !== 'fleet' ? `user: ${user.name}` : undefined
}

/** The project of the token that this log-in is worth. */
function projectOf({ identity, scope }: Auth): object | undefined {
  const shown = (name: string) => ({ id: `id-of-${name}`, name, domain: { id: 'default', name: 'Default' } })
  const { methods, password, application_credential: asked } = identity
  if (methods.join() === 'password') {
    const { name = '', password: secret = '' } = password?.user ?? {}
    const isGood = name === 'fleet' && secret === 'open-secret' && scope?.project.name === 'till'
    return isGood ? shown('till') : undefined
  }
  const isOwn = asked?.user?.name === 'fleet' && asked.user.domain?.name === 'Default'
  const found = credentials.find(({ id, name }) => id === asked?.id || (isOwn && name === asked?.name))
  const isGood = methods.join() === 'application_credential' && asked?.secret === 'application-secret' && !scope
  return found && isGood ? shown(found.project) : undefined
}

/** Keystone v3, Nova v2.1, Glance v2 and Neutron v2.0 behind one address, answering as those of OpenStack Zed do; lists have pages, tokens run out. */
export async function startOpenstack(t: Test): Promise<Cloud> {
  const cloud = newCloud('openstack')
  const site = newSite(cloud)
  const [compute, network] = [startNova(site), startNeutron(site)]
  let tokens = new Set<string>()

  function login(body: string): FakeAnswer {
    const { auth } = JSON.parse(body) as { auth: Auth }
    const missing = missingOf(auth)
    if (missing) return json(404, { error: { code: 404, title: 'Not Found', message: `Could not find ${missing}.` } })
    const project = projectOf(auth)
    if (!project) return unauthorized
    const token = randomUUID()
    tokens.add(token)
    const endpoint = (type: string, path: string) => ({
      type,
      endpoints: [
        { interface: 'admin', region_id: 'one', url: 'http://10.0.0.1/admin' },
        { interface: 'public', region_id: 'two', url: 'http://10.0.0.1/other' },
        { interface: 'public', region_id: 'one', url: `${cloud.url}${path}` }
      ]
    })
    const catalog = [
      endpoint('compute', '/compute/v2.1'),
      endpoint('image', '/image'),
      endpoint('network', '/network/')
    ]
    return json(201, { token: { catalog, project } }, { 'x-subject-token': token })
  }

  function glance(path: string, url: URL): FakeAnswer {
    const all = [{ id: site.ids.image, name: 'debian-13' }]
    if (path === '/images') {
      const found = all.filter(({ name }) => name === url.searchParams.get('name'))
      const { items, isFull } = pageOf(found, url, cloud.pageSize)
      return json(200, { images: items, ...(isFull ? { next: `/v2/images?marker=${items.at(-1)?.id}` } : {}) })
    }
    if (path === `/images/${site.ids.image}`) return json(200, all[0])
    const message = `No image found with ID ${path.slice('/images/'.length)}<br /><br />\n\n\n`
    return json(404, { message, code: '404 Not Found', title: 'Not Found' })
  }

  cloud.url = await serve(t, async ({ method, url, headers, body }: FakeRequest) => {
    const fault = cloud.faults.shift()
    if (fault) return faulty(fault)
    const path = url.pathname
    if (path === '/identity/v3/auth/tokens') return login(body)
    const [, service = '', rest = ''] = /^\/(compute\/v2\.1|image\/v2|network\/v2\.0)(\/.*)$/.exec(path) ?? []
    if (!service) return { status: 404, body: '<html><body><h1>404 Not Found</h1></body></html>' }
    if (!tokens.has(String(headers['x-auth-token']))) return unauthorized
    if (service === 'image/v2') return glance(rest, url)
    return (service === 'network/v2.0' ? network : compute)(method, rest, url, body)
  })
  cloud.expireTokens = () => {
    tokens = new Set()
  }
  cloud.infos = {
    openstackInfo: {
      'openstack-auth-url': `${cloud.url}/identity/v2.0/`,
      'openstack-username': 'fleet',
      'openstack-password': 'open-secret',
      'openstack-tenant-name': 'till',
      'openstack-flavor-name': 'm1.small',
      'openstack-image-name': 'debian-13',
      'openstack-floatingip-pool': 'public',
      'openstack-region': 'one',
      'openstack-network': 'inside'
    }
  }
  return cloud
}
