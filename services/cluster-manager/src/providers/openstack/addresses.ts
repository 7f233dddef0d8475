import { type Call, CloudProblem, type Machine } from '../driver.js'
import { errorType } from './answers.js'
import type { Names } from './names.js'
import type { OpenstackClient } from './openstackClient.js'
import type { OpenstackSettings } from './settings.js'

interface FloatingIp {
  id: string
  floating_ip_address: string
  description?: string
}

/** Floating addresses. Each carries the machine's tag as its description, and is made together with its tie to the port: none is left alone. */
export function createAddresses(client: OpenstackClient, names: Names, { floatingPool }: OpenstackSettings) {
  async function ports(machine: Machine, call: Call): Promise<string[]> {
    const path = `/ports?device_id=${encodeURIComponent(machine.id)}`
    return (await client.all<{ id: string }>('network', path, 'ports', call)).map(({ id }) => id)
  }

  async function owned(tag: string, call: Call): Promise<FloatingIp[]> {
    const path = `/floatingips?description=${encodeURIComponent(tag)}`
    const found = await client.all<FloatingIp>('network', path, 'floatingips', call)
    return found.filter(({ description }) => description === tag)
  }

  return {
    async ensure(machine: Machine, call: Call): Promise<string> {
      const [known] = await owned(machine.tag, call)
      if (known) return known.floating_ip_address
      const [port] = await ports(machine, call)
      if (!port) throw new CloudProblem('unavailable', 'OpenStack: the machine has no port in a network yet')
      const floating_network_id = await names.pool(floatingPool, call)
      const body = { floatingip: { floating_network_id, port_id: port, description: machine.tag } }
      try {
        const { body: made } = await client.ask('network', '/floatingips', call, { method: 'POST', body })
        return (made.floatingip as FloatingIp).floating_ip_address
      } catch (error) {
        // Another driver of the same machine was faster.
        const [other] = errorType(error) === 'FloatingIPPortAlreadyAssociated' ? await owned(machine.tag, call) : []
        if (!other) throw error
        return other.floating_ip_address
      }
    },

    async release(tag: string, call: Call): Promise<void> {
      if (!floatingPool) return
      for (const { id } of await owned(tag, call)) {
        await client.ask('network', `/floatingips/${encodeURIComponent(id)}`, call, { method: 'DELETE', allow: [404] })
      }
    }
  }
}
