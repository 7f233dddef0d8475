import { randomUUID } from 'node:crypto'
import type { Test } from '../support.js'
import {
  type Cloud,
  type FakeAnswer,
  type FakeMachine,
  type FakeRequest,
  type Fault,
  json,
  leave,
  look,
  newCloud,
  order,
  serve
} from './cloud.js'

const words = { pending: 'BUILD', running: 'ACTIVE', failed: 'ERROR', going: 'ACTIVE', gone: 'DELETED' } as const
const [flavor, image, network, pool] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()]

interface ServerBody {
  name: string
  flavorRef: string
  imageRef: string
  key_name: string
  metadata: Record<string, string>
  security_groups: { name: string }[]
  networks?: { uuid: string }[]
}

/** Keystone v3, Nova v2.1, Glance v2 and Neutron v2.0 behind one address; lists have pages, tokens run out. */
export async function startOpenstack(t: Test): Promise<Cloud> {
  const cloud = newCloud('openstack')
  let tokens = new Set<string>()
  const groupIds = new Map<string, string>()
  const addressIds = new Map<string, FakeMachine>()

  function login(body: string): FakeAnswer {
    const { auth } = JSON.parse(body) as {
      auth: {
        identity: { password: { user: { name: string; password: string } } }
        scope: { project: { name: string } }
      }
    }
    const { name, password } = auth.identity.password.user
    if (name !== 'fleet' || password !== 'open-secret' || auth.scope.project.name !== 'till')
      return json(401, {
        error: { code: 401, title: 'Unauthorized', message: 'The request you have made requires authentication.' }
      })
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
    return json(201, { token: { catalog } }, { 'x-subject-token': token })
  }

  function page<T extends { id: string }>(key: string, all: T[], url: URL): FakeAnswer {
    const marker = url.searchParams.get('marker')
    const from = marker ? all.findIndex(({ id }) => id === marker) + 1 : 0
    return json(200, { [key]: all.slice(from, from + cloud.pageSize) })
  }

  async function create(body: ServerBody): Promise<FakeAnswer> {
    const fault = cloud.createFaults.shift()
    if (fault && fault !== 'silent') return faulty(fault)
    const publicKey = cloud.keys.get(body.key_name)
    if (publicKey === undefined) return json(400, { badRequest: { code: 400, message: 'Invalid key_name provided.' } })
    const machine = await order(cloud, {
      id: randomUUID(),
      tag: body.metadata['fleetgate-machine'] ?? '',
      cluster: body.metadata['fleetgate-cluster'] ?? '',
      name: body.name,
      order: {
        publicKey,
        user: '',
        image: body.imageRef === image ? 'debian-13' : '',
        size: body.flavorRef === flavor ? 'm1.small' : '',
        groups: body.security_groups.map(({ name }) => name),
        network: body.networks?.[0]?.uuid === network ? 'inside' : ''
      }
    })
    return { ...json(202, { server: { id: machine.id } }), isSilent: fault === 'silent' }
  }

  function shown(machine: FakeMachine): object {
    const state = look(cloud, machine)
    const floating = cloud.floating.get(machine.id)
    const fixed = { addr: machine.privateAddress, version: 4, 'OS-EXT-IPS:type': 'fixed' }
    const six = { addr: 'fd00::1', version: 6, 'OS-EXT-IPS:type': 'fixed' }
    const outer = floating ? [{ addr: floating, version: 4, 'OS-EXT-IPS:type': 'floating' }] : []
    return {
      id: machine.id,
      name: machine.name,
      status: words[state],
      created: new Date(machine.createdAt).toISOString(),
      metadata: { 'fleetgate-machine': machine.tag, 'fleetgate-cluster': machine.cluster },
      addresses: state === 'running' ? { inside: [six, fixed, ...outer] } : {},
      ...(state === 'failed' ? { fault: { code: 500, message: 'No valid host was found: the host broke' } } : {})
    }
  }

  async function compute(method: string, path: string, url: URL, body: string): Promise<FakeAnswer> {
    const [, kind = '', id = ''] = /^\/([a-z-]+)(?:\/([^/]+))?$/.exec(path) ?? []
    if (kind === 'flavors')
      return page(
        'flavors',
        [
          { id: randomUUID(), name: 'm1.tiny' },
          { id: flavor, name: 'm1.small' }
        ],
        url
      )
    if (kind === 'os-keypairs' && method === 'POST') {
      const { name, public_key } = (JSON.parse(body) as { keypair: { name: string; public_key: string } }).keypair
      if (cloud.keys.has(name))
        return json(409, { conflictingRequest: { code: 409, message: `Key pair '${name}' already exists.` } })
      cloud.keys.set(name, public_key)
      return json(201, { keypair: { name } })
    }
    if (kind === 'os-keypairs') return cloud.keys.delete(id) ? { status: 202, body: '' } : missing('itemNotFound')
    if (kind !== 'servers') return missing('itemNotFound')
    if (method === 'POST') return create((JSON.parse(body) as { server: ServerBody }).server)
    if (id === 'detail') {
      const name = url.searchParams.get('name')
      const found = [...cloud.machines.values()].filter((one) => !name || new RegExp(name).test(one.name))
      return page(
        'servers',
        found.map((one) => shown(one) as { id: string }),
        url
      )
    }
    const machine = cloud.machines.get(id)
    if (!machine) return missing('itemNotFound')
    if (method === 'DELETE') {
      leave(machine)
      return { status: 204, body: '' }
    }
    return json(200, { server: shown(machine) })
  }

  function neutron(method: string, path: string, url: URL, body: string): FakeAnswer {
    const [, kind = '', id = ''] = /^\/([a-z-]+)(?:\/([^/]+))?$/.exec(path) ?? []
    const name = url.searchParams.get('name')
    if (kind === 'networks') {
      const all = [
        { id: network, name: 'inside' },
        { id: pool, name: 'public' }
      ]
      return page(
        'networks',
        all.filter((one) => one.name === name),
        url
      )
    }
    if (kind === 'ports') {
      const machine = cloud.machines.get(url.searchParams.get('device_id') ?? '')
      return page('ports', machine ? [{ id: `port-${machine.id}` }] : [], url)
    }
    if (kind === 'floatingips') return floatingIps(method, id, url, body)
    if (kind === 'security-group-rules') return rule(JSON.parse(body) as never)
    if (method === 'POST') {
      const made = (JSON.parse(body) as { security_group: { name: string } }).security_group
      const group = { id: randomUUID(), name: made.name }
      groupIds.set(group.id, group.name)
      cloud.groups.set(group.name, [])
      return json(201, { security_group: group })
    }
    if (method === 'DELETE') return removeGroup(id)
    return page(
      'security_groups',
      [...groupIds].map(([id, name]) => ({ id, name })).filter((one) => one.name === name),
      url
    )
  }

  function removeGroup(id: string): FakeAnswer {
    const name = groupIds.get(id)
    if (!name) return missing('NeutronError')
    if ([...cloud.machines.values()].some(({ order }) => order.groups.includes(name)))
      return json(409, { NeutronError: { type: 'SecurityGroupInUse', message: `Security Group ${id} in use.` } })
    groupIds.delete(id)
    cloud.groups.delete(name)
    return { status: 204, body: '' }
  }

  function rule({
    security_group_rule: asked
  }: {
    security_group_rule: {
      security_group_id: string
      port_range_min?: number
      remote_ip_prefix?: string
      remote_group_id?: string
    }
  }): FakeAnswer {
    const rules = cloud.groups.get(groupIds.get(asked.security_group_id) ?? '') ?? []
    const own = groupIds.get(asked.remote_group_id ?? '')
    const made = {
      ports: asked.port_range_min ? [asked.port_range_min] : [],
      from: asked.remote_ip_prefix ?? own ?? ''
    }
    if (rules.some((one) => JSON.stringify(one) === JSON.stringify(made)))
      return json(409, {
        NeutronError: { type: 'SecurityGroupRuleExists', message: 'Security group rule already exists.' }
      })
    rules.push(made)
    return json(201, { security_group_rule: { id: randomUUID() } })
  }

  function floatingIps(method: string, id: string, url: URL, body: string): FakeAnswer {
    if (method === 'POST') {
      const asked = (
        JSON.parse(body) as { floatingip: { port_id: string; floating_network_id: string; description: string } }
      ).floatingip
      const machine = cloud.machines.get(asked.port_id.replace('port-', ''))
      if (!machine || asked.floating_network_id !== pool || asked.description !== machine.tag)
        return missing('NeutronError')
      const made = { id: randomUUID(), floating_ip_address: machine.address }
      addressIds.set(made.id, machine)
      cloud.floating.set(machine.id, machine.address)
      return json(201, { floatingip: made })
    }
    if (method === 'DELETE') {
      const machine = addressIds.get(id)
      if (!machine) return missing('NeutronError')
      addressIds.delete(id)
      cloud.floating.delete(machine.id)
      return { status: 204, body: '' }
    }
    const wanted = url.searchParams.get('description')
    const all = [...addressIds].map(([id, { tag, address }]) => ({
      id,
      description: tag,
      floating_ip_address: address
    }))
    return page(
      'floatingips',
      all.filter(({ description }) => description === wanted),
      url
    )
  }

  function glance(path: string, url: URL): FakeAnswer {
    const all = [{ id: image, name: 'debian-13' }]
    if (path === '/images')
      return page(
        'images',
        all.filter(({ name }) => name === url.searchParams.get('name')),
        url
      )
    return path === `/images/${image}` ? json(200, all[0]) : missing('notFound')
  }

  cloud.url = await serve(t, async ({ method, url, headers, body }: FakeRequest) => {
    const fault = cloud.faults.shift()
    if (fault) return faulty(fault)
    const path = url.pathname
    if (path === '/identity/v3/auth/tokens') return login(body)
    if (!tokens.has(String(headers['x-auth-token'])))
      return json(401, { error: { code: 401, message: 'Authentication required' } })
    if (path.startsWith('/compute/v2.1/')) return compute(method, path.slice('/compute/v2.1'.length), url, body)
    if (path.startsWith('/image/v2/')) return glance(path.slice('/image/v2'.length), url)
    if (path.startsWith('/network/v2.0/')) return neutron(method, path.slice('/network/v2.0'.length), url, body)
    return missing('itemNotFound')
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

function missing(key: string): FakeAnswer {
  return json(404, { [key]: { code: 404, message: 'The resource could not be found.' } })
}

function faulty(fault: Fault): FakeAnswer {
  if (fault === 'quota')
    return json(403, {
      forbidden: { code: 403, message: 'Quota exceeded for cores: Requested 2, but already used 8 of 8 cores' }
    })
  if (fault === 'throttled')
    return json(429, { overLimit: { code: 429, message: 'This request was rate-limited.' } }, { 'retry-after': '1' })
  if (fault === 'credentials')
    return json(403, { forbidden: { code: 403, message: "Policy doesn't allow it to be performed." } })
  return json(503, { computeFault: { code: 503, message: 'The server is currently unavailable.' } })
}
