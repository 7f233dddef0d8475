import type { Call, MachineGroup } from '../driver.js'
import type { GoogleClient } from './googleClient.js'
import { type GoogleSettings, networkPath } from './settings.js'

/** The cluster's own rules: they hold for machines that carry the group's name as a network tag. */
export function createFirewall(client: GoogleClient, { network }: GoogleSettings) {
  const namesOf = ({ name }: MachineGroup) => ({ outer: `${name}-access`, inner: `${name}-inside` })

  return {
    async validate(call: Call): Promise<void> {
      if (!network.includes('/')) await client.ask(networkPath(network), call)
    },

    async ensure(group: MachineGroup, call: Call): Promise<void> {
      const { outer, inner } = namesOf(group)
      const shared = { network: networkPath(network), direction: 'INGRESS', targetTags: [group.name] }
      const allowed = [{ IPProtocol: 'tcp', ports: group.ports.map(String) }]
      const rules = [
        { ...shared, name: outer, sourceRanges: [group.from], allowed },
        { ...shared, name: inner, sourceTags: [group.name], allowed: [{ IPProtocol: 'all' }] }
      ]
      for (const body of rules) await client.change('global/firewalls', call, { method: 'POST', body })
    },

    async release(group: MachineGroup, call: Call): Promise<void> {
      const { outer, inner } = namesOf(group)
      for (const name of [outer, inner]) await client.change(`global/firewalls/${name}`, call, { method: 'DELETE' })
    }
  }
}
