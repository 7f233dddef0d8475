import { randomUUID } from 'node:crypto'
import { type FakeAnswer, type FakeMachine, json, leave, look, order } from '../cloud.js'
import { type FakeGroup, faulty, nova, page, partsOf, type Site } from './site.js'

const words = { pending: 'BUILD', running: 'ACTIVE', failed: 'ERROR', going: 'ACTIVE' } as const

interface ServerBody {
  name: string
  flavorRef: string
  imageRef: string
  key_name: string
  metadata: Record<string, string>
  security_groups: { name: string }[]
  networks?: { uuid: string }[]
}

/** Nova's Compute API v2.1, microversion 2.1. */
export function startNova(site: Site) {
  const { cloud, ids, deferred } = site

  function keypairs(method: string, id: string, body: string): FakeAnswer {
    if (method === 'POST') {
      const { name, public_key } = (JSON.parse(body) as { keypair: { name: string; public_key: string } }).keypair
      // It counts before it compares.
      if (cloud.isFull) return nova(403, 'forbidden', 'Quota exceeded, too many key pairs.')
      if (cloud.keys.has(name)) return nova(409, 'conflictingRequest', `Key pair '${name}' already exists.`)
      cloud.keys.set(name, public_key)
      return json(200, { keypair: { name, public_key, user_id: 'fleet' } })
    }
    const key = cloud.keys.get(id)
    if (key === undefined) return nova(404, 'itemNotFound', `Keypair ${id} not found for user fleet`)
    if (method === 'DELETE') {
      cloud.keys.delete(id)
      return { status: 202, body: '' }
    }
    return json(200, { keypair: { name: id, public_key: key, user_id: 'fleet' } })
  }

  /** A group is named by its id or by a name that is there once. */
  function groupsOf(wanted: { name: string }[]): FakeGroup[] | FakeAnswer {
    const found: FakeGroup[] = []
    for (const { name } of wanted) {
      const [first, second] = [...site.groups.values()].filter((one) => one.id === name || one.name === name)
      if (!first) return nova(400, 'badRequest', `Unable to find security_group with name or id '${name}'`)
      const many = `Multiple security_group matches found for name '${name}', use an ID to be more specific.`
      if (second) return nova(409, 'conflictingRequest', many)
      found.push(first)
    }
    return found
  }

  async function create(body: ServerBody): Promise<FakeAnswer> {
    const fault = cloud.createFaults.shift()
    if (fault && fault !== 'silent') return faulty(fault)
    const publicKey = cloud.keys.get(body.key_name)
    if (publicKey === undefined) return nova(400, 'badRequest', 'Invalid key_name provided.')
    const groups = groupsOf(body.security_groups)
    if (!Array.isArray(groups)) return groups
    const machine = await order(cloud, {
      id: randomUUID(),
      tag: body.metadata['fleetgate-machine'] ?? '',
      cluster: body.metadata['fleetgate-cluster'] ?? '',
      name: body.name,
      order: {
        publicKey,
        user: '',
        image: body.imageRef === ids.image ? 'debian-13' : '',
        size: body.flavorRef === ids.flavor ? 'm1.small' : '',
        groups: groups.map(({ name }) => name),
        network: body.networks?.[0]?.uuid === ids.network ? 'inside' : ''
      }
    })
    const taken = { id: machine.id, 'OS-DCF:diskConfig': 'MANUAL', security_groups: body.security_groups }
    return { ...json(202, { server: taken }), isSilent: fault === 'silent' }
  }

  /** What it shows of a machine; nothing of one that is gone. */
  function shown(machine: FakeMachine): ({ id: string } & Record<string, unknown>) | undefined {
    const state = deferred.has(machine.id) ? 'deferred' : look(cloud, machine)
    if (state === 'gone') return undefined
    const floating = cloud.floating.get(machine.id)
    const fixed = { addr: machine.privateAddress, version: 4, 'OS-EXT-IPS:type': 'fixed' }
    const six = { addr: 'fd00::1', version: 6, 'OS-EXT-IPS:type': 'fixed' }
    const outer = floating ? [{ addr: floating, version: 4, 'OS-EXT-IPS:type': 'floating' }] : []
    const broken = `Build of instance ${machine.id} aborted: the host broke`
    return {
      id: machine.id,
      name: machine.name,
      status: state === 'deferred' ? 'SOFT_DELETED' : words[state],
      // Whole seconds.
      created: new Date(machine.createdAt).toISOString().replace(/\.\d+/, ''),
      metadata: { 'fleetgate-machine': machine.tag, 'fleetgate-cluster': machine.cluster },
      addresses: state === 'running' || state === 'deferred' ? { inside: [six, fixed, ...outer] } : {},
      ...(state === 'failed' ? { fault: { code: 500, message: broken } } : {})
    }
  }

  function listed(url: URL): FakeAnswer {
    const name = url.searchParams.get('name')
    const all = [...cloud.machines.values()].filter(({ id }) => !deferred.has(id))
    const found = all.filter((one) => !name || new RegExp(name).test(one.name)).flatMap((one) => shown(one) ?? [])
    return page('servers', found, url, cloud.pageSize)
  }

  function remove(machine: FakeMachine, isForced: boolean): FakeAnswer {
    if (cloud.isDeferring && !isForced) deferred.add(machine.id)
    else {
      deferred.delete(machine.id)
      leave(machine)
    }
    return isForced ? { status: 202, body: '' } : { status: 204, body: '' }
  }

  async function servers(method: string, path: string, url: URL, body: string): Promise<FakeAnswer> {
    const { id, action } = partsOf(path)
    if (method === 'POST' && id === '') return create((JSON.parse(body) as { server: ServerBody }).server)
    if (id === 'detail') return listed(url)
    const machine = cloud.machines.get(id)
    const none = nova(404, 'itemNotFound', `Instance ${id} could not be found.`)
    if (!machine) return none
    if (action === 'action') {
      if (cloud.isPlain)
        return nova(403, 'forbidden', "Policy doesn't allow os_compute_api:os-deferred-delete:force to be performed.")
      return remove(machine, 'forceDelete' in JSON.parse(body))
    }
    if (method === 'DELETE') return remove(machine, false)
    const server = shown(machine)
    return server ? json(200, { server }) : none
  }

  return async (method: string, path: string, url: URL, body: string): Promise<FakeAnswer> => {
    const { kind, id } = partsOf(path)
    const flavors = [
      { id: ids.tiny, name: 'm1.tiny' },
      { id: ids.flavor, name: 'm1.small' }
    ]
    if (kind === 'flavors') return page('flavors', flavors, url, cloud.pageSize)
    if (kind === 'os-keypairs') return keypairs(method, id, body)
    return kind === 'servers'
      ? servers(method, path, url, body)
      : nova(404, 'itemNotFound', 'The resource could not be found.')
  }
}
