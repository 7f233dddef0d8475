import { randomUUID } from 'node:crypto'
import { type FakeAnswer, type FakeMachine, json } from '../cloud.js'
import { neutron, overQuota, page, partsOf, type Site } from './site.js'

interface RuleBody {
  security_group_id: string
  port_range_min?: number | null
  remote_ip_prefix?: string | null
  remote_group_id?: string | null
}

interface FloatingBody {
  port_id: string
  floating_network_id: string
  description: string
}

/** Neutron's API v2.0. */
export function startNeutron({ cloud, groups, ids }: Site) {
  const addressIds = new Map<string, FakeMachine>()

  function lists(kind: string, url: URL): FakeAnswer {
    const [name, id] = [url.searchParams.get('name'), url.searchParams.get('id')]
    const is = (one: { id: string; name?: string }) => (name ?? one.name) === one.name && (id ?? one.id) === one.id
    const networks = [
      { id: ids.network, name: 'inside', 'router:external': false, shared: false },
      { id: ids.pool, name: 'public', 'router:external': true, shared: false }
    ]
    if (kind === 'networks') return page('networks', networks.filter(is), url, cloud.pageSize)
    if (kind === 'security-groups') return page('security_groups', shownGroups().filter(is), url, cloud.pageSize)
    if (kind === 'floatingips') {
      const wanted = url.searchParams.get('description')
      const all = [...addressIds].map(([id, { tag, address }]) => ({
        id,
        description: tag,
        floating_ip_address: address
      }))
      return page(
        'floatingips',
        all.filter(({ description }) => description === wanted),
        url,
        cloud.pageSize
      )
    }
    const machine = cloud.machines.get(url.searchParams.get('device_id') ?? '')
    return page('ports', machine ? [{ id: `port-${machine.id}` }] : [], url, cloud.pageSize)
  }

  function shownGroups() {
    return [...groups.values()].map(({ id, name, rules }) => ({
      id,
      name,
      security_group_rules: [
        { direction: 'egress', ethertype: 'IPv4', protocol: null, remote_ip_prefix: null, remote_group_id: null },
        ...rules.map(({ ports: [port], from }) => ({
          direction: 'ingress',
          ethertype: 'IPv4',
          protocol: port === undefined ? null : 'tcp',
          port_range_min: port ?? null,
          port_range_max: port ?? null,
          remote_ip_prefix: port === undefined ? null : from,
          remote_group_id: port === undefined ? id : null
        }))
      ]
    }))
  }

  function makeGroup(name: string): FakeAnswer {
    if (cloud.isFull) return overQuota('security_group')
    const group = { id: randomUUID(), name, rules: [] }
    groups.set(group.id, group)
    cloud.groups.set(keyOf(group), group.rules)
    return json(201, { security_group: { ...group, rules: undefined, security_group_rules: [] } })
  }

  function makeRule(asked: RuleBody): FakeAnswer {
    const group = groups.get(asked.security_group_id)
    if (!group) return neutron(404, 'SecurityGroupNotFound', `Security group ${asked.security_group_id} does not exist`)
    // It counts before it compares.
    if (cloud.isFull) return overQuota('security_group_rule')
    const own = groups.get(asked.remote_group_id ?? '')?.name ?? ''
    const rule = { ports: asked.port_range_min ? [asked.port_range_min] : [], from: asked.remote_ip_prefix ?? own }
    if (group.rules.some((one) => JSON.stringify(one) === JSON.stringify(rule)))
      return neutron(409, 'SecurityGroupRuleExists', 'Security group rule already exists. Rule id is 1.')
    group.rules.push(rule)
    return json(201, { security_group_rule: { id: randomUUID() } })
  }

  function removeGroup(id: string): FakeAnswer {
    const group = groups.get(id)
    if (!group) return neutron(404, 'SecurityGroupNotFound', `Security group ${id} does not exist`)
    if ([...cloud.machines.values()].some(({ order }) => order.groups.includes(group.name)))
      return neutron(409, 'SecurityGroupInUse', `Security Group ${id} in use.`)
    groups.delete(id)
    for (const [key, rules] of cloud.groups) if (rules === group.rules) cloud.groups.delete(key)
    return { status: 204, body: '' }
  }

  /** Of two groups with one name the second has its id behind it. */
  function keyOf({ id, name }: { id: string; name: string }): string {
    return cloud.groups.has(name) ? `${name} ${id}` : name
  }

  function letAddress({ port_id, floating_network_id, description }: FloatingBody): FakeAnswer {
    const machine = cloud.machines.get(port_id.replace('port-', ''))
    if (!machine) return neutron(404, 'PortNotFound', `Port ${port_id} could not be found.`)
    if (floating_network_id !== ids.pool)
      return neutron(
        400,
        'BadRequest',
        `Bad floatingip request: Network ${floating_network_id} is not a valid external network.`
      )
    if (cloud.floating.has(machine.id)) {
      const taken = `Cannot associate floating IP 10.9.9.9 with port ${port_id}, as that fixed IP already has a floating IP.`
      return neutron(409, 'FloatingIPPortAlreadyAssociated', taken)
    }
    const made = { id: randomUUID(), floating_ip_address: machine.address, description, status: 'DOWN' }
    addressIds.set(made.id, machine)
    cloud.floating.set(machine.id, machine.address)
    return json(201, { floatingip: made })
  }

  function releaseAddress(id: string): FakeAnswer {
    const machine = addressIds.get(id)
    if (!machine) return neutron(404, 'FloatingIPNotFound', `Floating IP ${id} could not be found`)
    addressIds.delete(id)
    cloud.floating.delete(machine.id)
    return { status: 204, body: '' }
  }

  return (method: string, path: string, url: URL, body: string): FakeAnswer => {
    const { kind, id } = partsOf(path)
    if (method === 'GET') return lists(kind, url)
    if (method === 'DELETE') return kind === 'floatingips' ? releaseAddress(id) : removeGroup(id)
    const asked = JSON.parse(body) as Record<string, never>
    if (kind === 'security-groups') return makeGroup((asked.security_group as { name: string } | undefined)?.name ?? '')
    return kind === 'floatingips' ? letAddress(asked.floatingip as never) : makeRule(asked.security_group_rule as never)
  }
}
