import type { Http } from '@fleetgate/kit/outbound'
import {
  type Call,
  CloudProblem,
  clusterTag,
  type Driver,
  type Machine,
  type MachineSpec,
  machineTag
} from '../driver.js'
import { createFirewall } from './firewall.js'
import { createGoogleClient, type GoogleUrls } from './googleClient.js'
import { type GoogleSettings, networkPath } from './settings.js'

/** An instance as Compute Engine shows it. */
interface Instance {
  name: string
  status: string
  statusMessage?: string
  creationTimestamp?: string
  labels?: Record<string, string>
  networkInterfaces?: { networkIP?: string; accessConfigs?: { natIP?: string }[] }[]
}

export interface GoogleOptions {
  settings: GoogleSettings
  urls: GoogleUrls
  http: Http
  now: () => number
}

/** Compute Engine. A name is there once in a zone, so the name made of the tag is what keeps a creation single; it is the machine's id here. */
export function createGoogle({ settings, urls, http, now }: GoogleOptions): Driver {
  const { project, zone, isPrivate } = settings
  const client = createGoogleClient({ account: settings.account, project, urls, http, now })
  const firewall = createFirewall(client, settings)
  const base = `zones/${zone}/instances`

  async function get(name: string, call: Call): Promise<Machine | undefined> {
    const { status, body } = await client.ask(`${base}/${encodeURIComponent(name)}`, call, { allow: [404] })
    return status === 404 ? undefined : toMachine(body as unknown as Instance, isPrivate)
  }

  function instanceOf({ tag, name, group }: MachineSpec): object {
    return {
      name,
      machineType: `zones/${zone}/machineTypes/${settings.machineType}`,
      labels: { [machineTag]: tag, [clusterTag]: group.clusterId },
      tags: { items: [...new Set([...settings.tags, group.name])] },
      disks: [
        {
          boot: true,
          autoDelete: true,
          initializeParams: {
            sourceImage: settings.image,
            diskType: `zones/${zone}/diskTypes/${settings.diskType}`,
            ...(settings.diskSize > 0 ? { diskSizeGb: String(settings.diskSize) } : {})
          }
        }
      ],
      networkInterfaces: [
        {
          network: networkPath(settings.network),
          ...(settings.subnetwork ? { subnetwork: subnetPath(settings) } : {}),
          ...(isPrivate ? {} : { accessConfigs: [{ name: 'External NAT', type: 'ONE_TO_ONE_NAT' }] })
        }
      ],
      metadata: {
        items: [
          { key: 'ssh-keys', value: `${settings.user}:${group.publicKey}` },
          { key: 'block-project-ssh-keys', value: 'TRUE' }
        ]
      }
    }
  }

  return {
    get,

    async find({ tag, name }, call) {
      const found = await get(name, call)
      return found?.tag === tag ? [found] : []
    },

    async list(clusterId, call) {
      const found = await client.all<Instance>(base, `labels.${clusterTag}=${clusterId}`, call)
      return found.map((one) => toMachine(one, isPrivate))
    },

    async validate(call) {
      await client.ask(`zones/${zone}/machineTypes/${settings.machineType}`, call)
      await client.ask(settings.image, call)
      await firewall.validate(call)
      if (settings.subnetwork && !settings.subnetwork.includes('/')) await client.ask(subnetPath(settings), call)
    },

    // The key is part of each machine.
    ensureKey: async () => {},
    ensureNetworkAccess: (group, call) => firewall.ensure(group, call),

    async create(spec, call) {
      await client.change(base, call, { method: 'POST', body: instanceOf(spec) })
      const made = await get(spec.name, call)
      if (!made) throw new CloudProblem('unavailable', 'Google Cloud made a machine and does not show it')
      if (made.tag !== spec.tag)
        throw new CloudProblem('invalid', `Google Cloud has another machine named ${spec.name}`)
      return made
    },

    ensureAddress: async (machine) => machine,
    async destroy({ id }, call) {
      if (id !== undefined) await client.change(`${base}/${encodeURIComponent(id)}`, call, { method: 'DELETE' })
    },
    // Project and zone of a provider in use do not change.
    isHome: async () => true,
    release: (group, call) => firewall.release(group, call)
  }
}

/** A zone without its last letter is the region. */
function subnetPath({ subnetwork, zone }: GoogleSettings): string {
  return subnetwork.includes('/') ? subnetwork : `regions/${zone.replace(/-[a-z]$/, '')}/subnetworks/${subnetwork}`
}

const states: Record<string, Machine['state']> = {
  PROVISIONING: 'PENDING',
  STAGING: 'PENDING',
  REPAIRING: 'PENDING',
  RUNNING: 'RUNNING'
}

function toMachine(instance: Instance, isPrivate: boolean): Machine {
  const [first] = instance.networkInterfaces ?? []
  const privateAddress = first?.networkIP ?? ''
  return {
    id: instance.name,
    tag: instance.labels?.[machineTag] ?? '',
    state: states[instance.status] ?? 'STOPPED',
    address: isPrivate ? privateAddress : (first?.accessConfigs?.[0]?.natIP ?? ''),
    privateAddress,
    message: instance.statusMessage?.slice(0, 300) ?? ''
  }
}
