import type { Call, MachineGroup } from '../driver.js'
import type { GoogleClient } from './googleClient.js'
import { type GoogleSettings, networkPath } from './settings.js'

/** The cluster's own rules: they hold for machines that carry the group's name as a network tag. */
export function createFirewall(client: GoogleClient, { project, network }: GoogleSettings) {
  const namesOf = ({ name }: MachineGroup) => ({ outer: `${name}-access`, inner: `${name}-inside` })

  return {
    async validate(call: Call): Promise<void> {
      if (network.includes('/')) return
      await client.ask((api, options) => api.networks.get({ project, network }, options), call)
    },

    async ensure(group: MachineGroup, call: Call): Promise<void> {
      const { outer, inner } = namesOf(group)
      const shared = { network: networkPath(network), direction: 'INGRESS', targetTags: [group.name] }
      const allowed = [{ IPProtocol: 'tcp', ports: group.ports.map(String) }]
      const rules = [
        { ...shared, name: outer, sourceRanges: [group.from], allowed },
        { ...shared, name: inner, sourceTags: [group.name], allowed: [{ IPProtocol: 'all' }] }
      ]
      for (const requestBody of rules) {
        await client.change((api, options) => api.firewalls.insert({ project, requestBody }, options), call, 'there')
      }
    },

    async release(group: MachineGroup, call: Call): Promise<void> {
      const { outer, inner } = namesOf(group)
      for (const firewall of [outer, inner]) {
        await client.change((api, options) => api.firewalls.delete({ project, firewall }, options), call, 'gone')
      }
    }
  }
}
