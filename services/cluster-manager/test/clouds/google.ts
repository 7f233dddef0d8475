import { generateKeyPairSync } from 'node:crypto'
import jwt from 'jsonwebtoken'
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

const words = {
  pending: 'STAGING',
  running: 'RUNNING',
  failed: 'TERMINATED',
  going: 'STOPPING',
  gone: 'STOPPING'
} as const

interface Body {
  name: string
  labels?: Record<string, string>
  machineType?: string
  disks?: { autoDelete?: boolean; initializeParams: { sourceImage: string; diskSizeGb?: string } }[]
  metadata?: { items: { key: string; value: string }[] }
  tags?: { items: string[] }
  networkInterfaces?: { network: string; subnetwork?: string }[]
  serviceAccounts?: { email: string; scopes: string[] }[]
  allowed?: { ports?: string[] }[]
  sourceRanges?: string[]
  sourceTags?: string[]
}

const zone = 'zones/europe-west3-a'

/** Google's tokens for service accounts, and Compute Engine's REST API v1. Changes are operations that are done when they are asked for. */
export async function startGoogle(t: Test): Promise<Cloud> {
  const cloud = newCloud('google')
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const email = 'fleet@project-1.iam.gserviceaccount.com'
  let tokens = new Set<string>()
  const operations = new Map<string, object>()

  /** Answers at once that it is at work; what comes of it is asked for. */
  function changed(place: string, error?: { code: string; message: string }): FakeAnswer {
    const name = `operation-${operations.size + 1}`
    const failure = error ? { error: { errors: [error] }, httpErrorStatusCode: 403 } : {}
    const shared = { kind: 'compute#operation', name, ...(place === 'global' ? {} : { zone: `${cloud.url}/${place}` }) }
    operations.set(`${place}/${name}`, { ...shared, status: 'DONE', ...failure })
    return json(200, { ...shared, status: 'RUNNING' })
  }

  async function insert(body: Body): Promise<FakeAnswer> {
    if (cloud.machines.has(body.name))
      return refused(409, 'alreadyExists', `The resource '${body.name}' already exists`)
    const fault = cloud.createFaults.shift()
    if (fault === 'quota')
      return changed(zone, { code: 'QUOTA_EXCEEDED', message: "Quota 'CPUS' exceeded. Limit: 8.0" })
    if (fault && fault !== 'silent') return faulty(fault)
    const [user = '', publicKey = ''] = (body.metadata?.items.find(({ key }) => key === 'ssh-keys')?.value ?? '').split(
      /:(.*)/
    )
    const [first] = body.disks ?? []
    const disk = first?.initializeParams
    await order(cloud, {
      id: body.name,
      tag: body.labels?.['fleetgate-machine'] ?? '',
      cluster: body.labels?.['fleetgate-cluster'] ?? '',
      name: body.name,
      order: {
        publicKey,
        user,
        image: disk?.sourceImage ?? '',
        size: `${body.machineType} ${disk?.diskSizeGb}`,
        groups: body.tags?.items ?? [],
        network: body.networkInterfaces?.[0]?.network ?? '',
        lasting: first?.autoDelete ? [] : [body.name],
        more: { serviceAccounts: body.serviceAccounts, subnetwork: body.networkInterfaces?.[0]?.subnetwork }
      }
    })
    return { ...changed(zone), isSilent: fault === 'silent' }
  }

  function list(url: URL): FakeAnswer {
    const [, wanted] = /^labels\.fleetgate-cluster=(.*)$/.exec(url.searchParams.get('filter') ?? '') ?? []
    const all = [...cloud.machines.values()].filter(({ cluster }) => cluster === wanted)
    const from = Number(url.searchParams.get('pageToken') ?? 0)
    const page = all.slice(from, from + cloud.pageSize)
    const items = page.map((one) => shown(cloud, one))
    const next = from + page.length < all.length ? { nextPageToken: String(from + page.length) } : {}
    return json(200, { kind: 'compute#instanceList', ...(items.length > 0 ? { items } : {}), ...next })
  }

  function instance(method: string, name: string): FakeAnswer {
    const machine = cloud.machines.get(name)
    if (!machine) return refused(404, 'notFound', `The resource '${name}' was not found`)
    if (method === 'DELETE') {
      leave(machine)
      return changed(zone)
    }
    const now = shown(cloud, machine)
    return cloud.machines.has(name) ? json(200, now) : refused(404, 'notFound', `The resource '${name}' was not found`)
  }

  function firewall(method: string, name: string, body: Body): FakeAnswer {
    const key = method === 'POST' ? body.name : name
    if (method === 'DELETE') {
      return cloud.groups.delete(key)
        ? changed('global')
        : refused(404, 'notFound', `The resource '${key}' was not found`)
    }
    if (cloud.groups.has(key)) return refused(409, 'alreadyExists', `The resource '${key}' already exists`)
    const ports = body.allowed?.[0]?.ports?.map(Number) ?? []
    cloud.groups.set(key, [{ ports, from: body.sourceRanges?.[0] ?? body.sourceTags?.[0] ?? '' }])
    return changed('global')
  }

  function token(text: string): FakeAnswer {
    try {
      const assertion = new URLSearchParams(text).get('assertion') ?? ''
      const { iss, scope } = jwt.verify(assertion, keys.publicKey, {
        algorithms: ['RS256'],
        audience: 'https://oauth2.googleapis.com/token'
      }) as { iss: string; scope: string }
      if (iss !== email || scope !== 'https://www.googleapis.com/auth/compute') throw new Error('unknown account')
      const value = `token-${tokens.size + 1}-${Date.now()}`
      tokens.add(value)
      return json(200, { access_token: value, expires_in: 3599, token_type: 'Bearer' })
    } catch {
      return json(400, { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' })
    }
  }

  cloud.url = await serve(t, async ({ method, url, headers, body }: FakeRequest) => {
    const fault = cloud.faults.shift()
    if (fault) return faulty(fault)
    if (url.pathname === '/token') return token(body)
    if (!tokens.has((headers.authorization ?? '').replace('Bearer ', '')))
      return refused(401, 'authError', 'Invalid Credentials')
    const [, project, place = '', kind = '', name = ''] =
      /^\/compute\/v1\/projects\/([^/]+)\/(zones\/[^/]+|regions\/[^/]+|global)\/([a-zA-Z]+)(?:\/(.+))?$/.exec(
        url.pathname
      ) ?? []
    if (url.pathname === '/compute/v1/projects/debian-cloud/global/images/family/debian-13')
      return json(200, { kind: 'compute#image', name: 'debian-13-v20260310', status: 'READY' })
    if (project === 'debian-cloud')
      return refused(404, 'notFound', `The resource '${url.pathname.slice('/compute/v1/'.length)}' was not found`)
    if (project !== 'project-1' || !['global', 'regions/europe-west3', zone].includes(place))
      return refused(403, 'forbidden', `Required permission for '${url.pathname}'`)
    const content = (body ? JSON.parse(body) : {}) as Body
    if (kind === 'operations' && operations.has(`${place}/${name}`))
      return json(200, operations.get(`${place}/${name}`))
    if (kind === 'firewalls') return firewall(method, name, content)
    if (kind === 'machineTypes' && name === 'e2-small') return json(200, { name })
    if (kind === 'networks' && name === 'default') return json(200, { name })
    if (kind === 'subnetworks' && name === 'tills') return json(200, { name })
    if (kind === 'instances' && name) return instance(method, name)
    if (kind === 'instances') return method === 'POST' ? insert(content) : list(url)
    return refused(404, 'notFound', `The resource '${url.pathname.slice('/compute/v1/'.length)}' was not found`)
  })
  cloud.expireTokens = () => {
    tokens = new Set()
  }
  const account = {
    type: 'service_account',
    client_email: email,
    private_key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' })
  }
  cloud.infos = {
    googleInfo: {
      'google-project': 'project-1',
      'google-zone': 'europe-west3-a',
      'google-machine-type': 'e2-small',
      'google-machine-image': 'debian-cloud/global/images/family/debian-13',
      'google-disk-size': '20',
      'google-tags': 'tills',
      'google-application-credentials': JSON.stringify(account)
    }
  }
  return cloud
}

function shown(cloud: Cloud, machine: FakeMachine): object {
  const state = look(cloud, machine)
  const isUp = state === 'running'
  return {
    name: machine.name,
    status: words[state],
    ...(state === 'failed' ? { statusMessage: 'the host broke' } : {}),
    labels: { 'fleetgate-machine': machine.tag, 'fleetgate-cluster': machine.cluster },
    networkInterfaces: [
      isUp
        ? { networkIP: machine.privateAddress, accessConfigs: [{ natIP: machine.address }] }
        : { accessConfigs: [{}] }
    ]
  }
}

function faulty(fault: Fault): FakeAnswer {
  if (fault === 'throttled') return refused(403, 'rateLimitExceeded', 'Rate Limit Exceeded')
  if (fault === 'quota') return refused(403, 'quotaExceeded', 'Quota exceeded')
  if (fault === 'credentials') return refused(403, 'forbidden', 'Required permission')
  return refused(503, 'backendError', 'Backend Error')
}

function refused(status: number, reason: string, message: string): FakeAnswer {
  return json(status, { error: { code: status, message, errors: [{ reason, message, domain: 'global' }] } })
}
