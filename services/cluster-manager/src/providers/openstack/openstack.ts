import type { Http } from '@fleetgate/kit/outbound'
import {
  type Call,
  CloudProblem,
  clusterTag,
  type Driver,
  type Machine,
  type MachineGroup,
  machineTag
} from '../driver.js'
import { createAddresses } from './addresses.js'
import { createNames } from './names.js'
import { createOpenstackClient } from './openstackClient.js'
import { createSecurityGroups } from './securityGroups.js'
import type { OpenstackSettings } from './settings.js'

/** A server as Nova shows it. */
export interface Server {
  id: string
  name: string
  status: string
  created?: string
  metadata?: Record<string, string>
  addresses?: Record<string, { addr: string; version: number; 'OS-EXT-IPS:type'?: string }[]>
  fault?: { message?: string }
}

export interface OpenstackOptions {
  settings: OpenstackSettings
  http: Http
  now: () => number
}

/** Nova, Glance and Neutron. Nova knows no key of idempotency: a creation is found by what stands in the server's metadata. */
export function createOpenstack({ settings, http, now }: OpenstackOptions): Driver {
  const client = createOpenstackClient(settings, http, now)
  const names = createNames(client)
  const groups = createSecurityGroups(client)
  const addresses = createAddresses(client, names, settings)

  async function servers(
    path: string,
    is: (metadata: Record<string, string>) => boolean,
    call: Call
  ): Promise<Machine[]> {
    const all = await client.all<Server>('compute', path, 'servers', call)
    const ours = all.filter(({ status, metadata = {} }) => status !== 'DELETED' && is(metadata))
    return ours.sort((a, b) => order(a) - order(b) || (a.id < b.id ? -1 : 1)).map(toMachine)
  }

  async function get(id: string, call: Call): Promise<Machine | undefined> {
    const { status, body } = await client.ask('compute', `/servers/${encodeURIComponent(id)}`, call, { allow: [404] })
    const server = body.server as Server | undefined
    return status === 404 || !server || server.status === 'DELETED' ? undefined : toMachine(server)
  }

  /** Named groups are the tenant's; otherwise the cluster's own. By id: names of groups may be there twice, and Nova takes none of them then. */
  async function groupsOf({ name }: MachineGroup, call: Call): Promise<{ name: string }[]> {
    const wanted = settings.securityGroups.length > 0 ? settings.securityGroups : [name]
    return Promise.all(wanted.map(async (one) => ({ name: (await groups.find(one, call)).id })))
  }

  return {
    get,
    // Nova reads the name as a regular expression; the metadata decides.
    find: ({ tag, name }, call) =>
      servers(`/servers/detail?name=${encodeURIComponent(`^${name}$`)}`, (data) => data[machineTag] === tag, call),
    list: (clusterId, call) => servers('/servers/detail', (data) => data[clusterTag] === clusterId, call),

    async validate(call) {
      await names.flavor(settings.flavor, call)
      await names.image(settings.image, call)
      if (settings.network) await names.network(settings.network, call)
      else await names.onlyNetwork(call)
      if (settings.floatingPool) await names.pool(settings.floatingPool, call)
      for (const group of settings.securityGroups) await groups.find(group, call)
    },

    async ensureKey({ name, publicKey }, call) {
      // The name is the cluster's, so is the key. Looked for first: Nova counts before it compares, and at the limit refuses what is there too.
      const path = `/os-keypairs/${encodeURIComponent(name)}`
      if ((await client.ask('compute', path, call, { allow: [404] })).status !== 404) return
      const keypair = { name, public_key: publicKey }
      await client.ask('compute', '/os-keypairs', call, { method: 'POST', body: { keypair }, allow: [409] })
    },

    async ensureNetworkAccess(group, call) {
      if (settings.securityGroups.length === 0) await groups.ensure(group, call)
    },

    async create({ tag, name, group }, call) {
      const [flavorRef, imageRef] = [await names.flavor(settings.flavor, call), await names.image(settings.image, call)]
      const server = {
        name,
        flavorRef,
        imageRef,
        key_name: group.name,
        security_groups: await groupsOf(group, call),
        metadata: { [machineTag]: tag, [clusterTag]: group.clusterId },
        ...(settings.network ? { networks: [{ uuid: await names.network(settings.network, call) }] } : {})
      }
      const { body } = await client.ask('compute', '/servers', call, { method: 'POST', body: { server } })
      const { id } = (body.server ?? {}) as { id?: string }
      if (!id) throw new CloudProblem('unavailable', 'OpenStack took the order for a machine and named none')
      return { id, tag, state: 'PENDING', address: '', privateAddress: '', message: '' }
    },

    async ensureAddress(machine, call) {
      if (!settings.floatingPool || machine.state !== 'RUNNING') return machine
      return { ...machine, address: await addresses.ensure(machine, call) }
    },

    async destroy({ id, tag }, call) {
      await addresses.release(tag, call)
      if (id === undefined) return
      const path = `/servers/${encodeURIComponent(id)}`
      // A plain deletion at a cloud that defers them keeps ports, rules and quota taken for days, where no list shows the machine.
      const force = { method: 'POST' as const, body: { forceDelete: null }, allow: [400, 403, 404, 409] }
      const { status } = await client.ask('compute', `${path}/action`, call, force)
      if (status >= 300) await client.ask('compute', path, call, { method: 'DELETE', allow: [404] })
    },

    // Project and address of a provider in use do not change.
    isHome: async () => true,

    async release(group, call) {
      const { name } = group
      await client.ask('compute', `/os-keypairs/${encodeURIComponent(name)}`, call, { method: 'DELETE', allow: [404] })
      await groups.remove(name, call)
    }
  }
}

function order({ created }: Server): number {
  return Date.parse(created ?? '') || 0
}

const states: Record<string, Machine['state']> = {
  BUILD: 'PENDING',
  REBUILD: 'PENDING',
  REBOOT: 'PENDING',
  ACTIVE: 'RUNNING',
  ERROR: 'FAILED',
  SHUTOFF: 'STOPPED',
  SUSPENDED: 'STOPPED',
  PAUSED: 'STOPPED',
  RESCUE: 'STOPPED',
  SHELVED: 'STOPPED',
  SHELVED_OFFLOADED: 'STOPPED',
  // It keeps its disk and addresses until it is told to go once more.
  SOFT_DELETED: 'STOPPED'
}

function toMachine(server: Server): Machine {
  const all = Object.values(server.addresses ?? {}).flat()
  const v4 = all.filter(({ version }) => version === 4)
  const floating = v4.find((one) => one['OS-EXT-IPS:type'] === 'floating')?.addr
  const fixed = v4.find((one) => one['OS-EXT-IPS:type'] !== 'floating')?.addr ?? ''
  const state = states[server.status] ?? 'PENDING'
  return {
    id: server.id,
    tag: server.metadata?.[machineTag] ?? '',
    state,
    address: floating ?? fixed,
    privateAddress: fixed,
    message: server.fault?.message?.trim().slice(0, 300) ?? (state === 'STOPPED' ? `it is ${server.status}` : '')
  }
}
