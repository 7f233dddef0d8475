import type { compute_v1 } from '@googleapis/compute'
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

type Instance = compute_v1.Schema$Instance

export interface GoogleOptions {
  settings: GoogleSettings
  urls: GoogleUrls
  now: () => number
}

/** Compute Engine by Google's SDK. A name is there once in a zone, so the name made of the tag is what keeps a creation single; it is the machine's id here. */
export function createGoogle({ settings, urls, now }: GoogleOptions): Driver {
  const { project, zone, isPrivate } = settings
  const client = createGoogleClient({ settings, urls, now })
  const firewall = createFirewall(client, settings)

  async function get(instance: string, call: Call): Promise<Machine | undefined> {
    const found = await client.ask((api, options) => api.instances.get({ project, zone, instance }, options), call, 404)
    return found && toMachine(found, isPrivate)
  }

  async function imageKnown(call: Call): Promise<void> {
    const { isFamily, project: owner = project, name } = settings.image
    await client.ask<unknown>(
      (api, options) =>
        isFamily
          ? api.images.getFromFamily({ project: owner, family: name }, options)
          : api.images.get({ project: owner, image: name }, options),
      call
    )
  }

  async function subnetKnown(call: Call): Promise<void> {
    const { subnetwork } = settings
    if (subnetwork === '' || subnetwork.includes('/')) return
    const named = { project, region: regionOf(zone), subnetwork }
    await client.ask((api, options) => api.subnetworks.get(named, options), call)
  }

  return {
    get,

    async find({ tag, name }, call) {
      const found = await get(name, call)
      return found?.tag === tag ? [found] : []
    },

    async list(clusterId, call) {
      const filter = `labels.${clusterTag}=${clusterId}`
      const found = await client.all<Instance>(
        (pageToken) => (api, options) => api.instances.list({ project, zone, filter, pageToken }, options),
        call
      )
      return found.map((one) => toMachine(one, isPrivate))
    },

    async validate(call) {
      const { machineType } = settings
      await client.ask((api, options) => api.machineTypes.get({ project, zone, machineType }, options), call)
      await imageKnown(call)
      await firewall.validate(call)
      await subnetKnown(call)
    },

    // The key is part of each machine.
    ensureKey: async () => {},
    ensureNetworkAccess: (group, call) => firewall.ensure(group, call),

    async create(spec, call) {
      const requestBody = toInstance(spec, settings)
      const order = (api: compute_v1.Compute, options: object) =>
        api.instances.insert({ project, zone, requestBody }, options)
      await client.change(order, call, 'there')
      const made = await get(spec.name, call)
      if (!made) throw new CloudProblem('unavailable', 'Google Cloud made a machine and does not show it')
      if (made.tag !== spec.tag)
        throw new CloudProblem('invalid', `Google Cloud has another machine named ${spec.name}`)
      return made
    },

    ensureAddress: async (machine) => machine,
    async destroy({ id: instance }, call) {
      if (instance === undefined) return
      await client.change((api, options) => api.instances.delete({ project, zone, instance }, options), call, 'gone')
    },
    // Project and zone of a provider in use do not change.
    isHome: async () => true,
    release: (group, call) => firewall.release(group, call)
  }
}

/** A zone without its last letter is the region. */
function regionOf(zone: string): string {
  return zone.replace(/-[a-z]$/, '')
}

function subnetPath({ subnetwork, zone }: GoogleSettings): string {
  return subnetwork.includes('/') ? subnetwork : `regions/${regionOf(zone)}/subnetworks/${subnetwork}`
}

/** The order for a machine. */
function toInstance({ tag, name, group }: MachineSpec, settings: GoogleSettings): Instance {
  const { zone, image, diskSize, serviceAccount, isPrivate } = settings
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
          sourceImage: image.path,
          diskType: `zones/${zone}/diskTypes/${settings.diskType}`,
          ...(diskSize > 0 ? { diskSizeGb: String(diskSize) } : {})
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
    },
    ...(serviceAccount ? { serviceAccounts: [serviceAccount] } : {})
  }
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
    id: instance.name ?? '',
    tag: instance.labels?.[machineTag] ?? '',
    state: states[instance.status ?? ''] ?? 'STOPPED',
    address: isPrivate ? privateAddress : (first?.accessConfigs?.[0]?.natIP ?? ''),
    privateAddress,
    message: instance.statusMessage?.slice(0, 300) ?? ''
  }
}
