import { type Call, CloudProblem, type MachineGroup } from '../driver.js'
import { errorType } from './answers.js'
import type { OpenstackClient } from './openstackClient.js'

interface Rule {
  direction: string
  ethertype: string
  protocol: string | null
  port_range_min: number | null
  port_range_max: number | null
  remote_ip_prefix: string | null
  remote_group_id: string | null
}

const ruleFields = [
  'direction',
  'ethertype',
  'protocol',
  'port_range_min',
  'port_range_max',
  'remote_ip_prefix',
  'remote_group_id'
] as const satisfies (keyof Rule)[]

interface Group {
  id: string
  name: string
  security_group_rules?: Rule[]
}

/** Rules at Neutron: the cluster's own, and the groups that the settings name. */
export function createSecurityGroups(client: OpenstackClient) {
  /** Of groups with one name all drivers see the same first. */
  async function named(name: string, call: Call): Promise<Group[]> {
    const path = `/security-groups?name=${encodeURIComponent(name)}`
    const found = await client.all<Group>('network', path, 'security_groups', call)
    return found.filter((group) => group.name === name).sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Two that make it at the same time get two groups; looking once more both go on with the same. */
  async function make(name: string, call: Call): Promise<Group> {
    const body = { security_group: { name, description: 'Machines of one Fleetgate cluster' } }
    const { body: made } = await client.ask('network', '/security-groups', call, { method: 'POST', body })
    return (await named(name, call))[0] ?? (made.security_group as Group)
  }

  return {
    /** By name, else by id. */
    async find(name: string, call: Call): Promise<Group> {
      const path = `/security-groups?id=${encodeURIComponent(name)}`
      const found = await named(name, call)
      const [first] = found.length > 0 ? found : await client.all<Group>('network', path, 'security_groups', call)
      if (!first) throw new CloudProblem('invalid', `OpenStack has no security group "${name}"`)
      return first
    },

    /** Asks for what is missing only: Neutron counts before it compares, and at the limit refuses a rule that is there too. */
    async ensure({ name, ports, from }: MachineGroup, call: Call): Promise<void> {
      const { id, security_group_rules: there = [] } = (await named(name, call))[0] ?? (await make(name, call))
      const any = { protocol: null, port_range_min: null, port_range_max: null, remote_ip_prefix: null }
      const inward = { direction: 'ingress', ethertype: 'IPv4', remote_group_id: null }
      const wanted: Rule[] = [
        ...ports.map((port) => ({
          ...inward,
          protocol: 'tcp',
          port_range_min: port,
          port_range_max: port,
          remote_ip_prefix: from
        })),
        { ...inward, ...any, remote_group_id: id }
      ]
      for (const rule of wanted)
        if (!there.some((one) => isSame(one, rule))) await add({ ...rule, security_group_id: id }, call)
    },

    async remove(name: string, call: Call): Promise<void> {
      for (const { id } of await named(name, call)) {
        const options = { method: 'DELETE' as const, allow: [404, 409] }
        // 409: Neutron still counts a port of a machine that is gone.
        const { status } = await client.ask('network', `/security-groups/${encodeURIComponent(id)}`, call, options)
        if (status === 409)
          throw new CloudProblem('unavailable', `OpenStack: the security group ${name} is still in use`)
      }
    }
  }

  /** Another driver may have made it meanwhile. */
  async function add(rule: Rule & { security_group_id: string }, call: Call): Promise<void> {
    const body = { security_group_rule: rule }
    await client.ask('network', '/security-group-rules', call, { method: 'POST', body }).catch((error: unknown) => {
      if (errorType(error) !== 'SecurityGroupRuleExists') throw error
    })
  }
}

function isSame(a: Rule, b: Rule): boolean {
  return ruleFields.every((key) => (a[key] ?? null) === b[key])
}
