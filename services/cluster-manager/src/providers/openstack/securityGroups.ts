import { type Call, CloudProblem, type MachineGroup } from '../driver.js'
import type { OpenstackClient } from './openstackClient.js'

interface Group {
  id: string
  name: string
}

/** The cluster's own rules at Neutron. */
export function createSecurityGroups(client: OpenstackClient) {
  async function byName(name: string, call: Call): Promise<Group[]> {
    const path = `/security-groups?name=${encodeURIComponent(name)}`
    return (await client.all<Group>('network', path, 'security_groups', call)).filter((group) => group.name === name)
  }

  async function make(name: string, call: Call): Promise<Group> {
    const body = { security_group: { name, description: 'Machines of one Fleetgate cluster' } }
    return (await client.ask('network', '/security-groups', call, { method: 'POST', body })).body
      .security_group as Group
  }

  return {
    async find(name: string, call: Call): Promise<Group> {
      const [found] = await byName(name, call)
      if (!found) throw new CloudProblem('invalid', `OpenStack has no security group "${name}"`)
      return found
    },

    /** 409 for a rule: it is there. */
    async ensure({ name, ports, from }: MachineGroup, call: Call): Promise<void> {
      const { id } = (await byName(name, call))[0] ?? (await make(name, call))
      const inward = { security_group_id: id, direction: 'ingress', ethertype: 'IPv4' }
      const rules = [
        ...ports.map((port) => ({
          ...inward,
          protocol: 'tcp',
          port_range_min: port,
          port_range_max: port,
          remote_ip_prefix: from
        })),
        { ...inward, remote_group_id: id }
      ]
      for (const rule of rules) {
        const body = { security_group_rule: rule }
        const answer = await client.ask('network', '/security-group-rules', call, {
          method: 'POST',
          body,
          allow: [409]
        })
        const { NeutronError: error } = answer.body as { NeutronError?: { type?: string; message?: string } }
        if (error?.type === 'OverQuota') throw new CloudProblem('quota', `OpenStack: ${error.message}`)
      }
    },

    async remove(name: string, call: Call): Promise<void> {
      for (const { id } of await byName(name, call)) {
        const options = { method: 'DELETE' as const, allow: [404, 409] }
        // 409: Neutron still counts a port of a machine that is gone.
        const { status } = await client.ask('network', `/security-groups/${encodeURIComponent(id)}`, call, options)
        if (status === 409)
          throw new CloudProblem('unavailable', `OpenStack: the security group ${name} is still in use`)
      }
    }
  }
}
