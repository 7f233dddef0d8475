import {
  DeleteKeyPairCommand,
  DescribeKeyPairsCommand,
  type Filter,
  ImportKeyPairCommand,
  type Instance,
  paginateDescribeInstances,
  RunInstancesCommand,
  TerminateInstancesCommand
} from '@aws-sdk/client-ec2'
import {
  type Call,
  CloudProblem,
  clusterTag,
  type Driver,
  type Machine,
  type MachineSpec,
  machineTag
} from '../driver.js'
import { codeOf, createEc2, unless } from './ec2Client.js'
import { createNetwork } from './network.js'
import { createOrders } from './orders.js'
import type { Ec2Settings } from './settings.js'

export interface AmazonEc2Options {
  settings: Ec2Settings
  /** The operator's own, in the place of Amazon's. */
  endpoint: string | undefined
  now: () => number
}

const pageSize = 100

/** Amazon EC2 by its SDK. Tag and order are the ClientToken of the creation, so Amazon itself makes one machine of them. */
export function createAmazonEc2({ settings, endpoint, now }: AmazonEc2Options): Driver {
  const ec2 = createEc2(settings, endpoint, now)
  const network = createNetwork(ec2, settings)
  const orders = createOrders(ec2, network, settings)

  async function instances(filters: Filter[], call: Call): Promise<Machine[]> {
    return ec2.ask(async (client, options) => {
      const found: Instance[] = []
      const pages = paginateDescribeInstances({ client, pageSize }, { Filters: filters }, options)
      for await (const { Reservations = [] } of pages) {
        found.push(...Reservations.flatMap((one) => one.Instances ?? []))
      }
      return found.sort((a, b) => started(a) - started(b)).map((one) => toMachine(one, settings))
    }, call)
  }

  async function tagged(name: string, value: string, call: Call): Promise<Machine[]> {
    const found = await instances([{ Name: `tag:${name}`, Values: [value] }], call)
    return found.filter(({ state }) => state !== 'GONE')
  }

  async function run(spec: MachineSpec, call: Call): Promise<Machine> {
    const command = new RunInstancesCommand(await orders.of(spec, call))
    const { Instances = [] } = await ec2.ask((client, options) => client.send(command, options), call).catch(notYet)
    const [made] = Instances
    if (!made) throw new CloudProblem('unavailable', 'Amazon EC2 took the order for a machine and named none')
    return { ...toMachine(made, settings), tag: spec.tag }
  }

  return {
    create: run,
    find: ({ tag }, call) => tagged(machineTag, tag, call),
    list: (clusterId, call) => tagged(clusterTag, clusterId, call),

    // By a filter: an id that is not there is an error otherwise, and one that is new may not be known everywhere yet.
    async get(id, call) {
      const [found] = await instances([{ Name: 'instance-id', Values: [id] }], call)
      return found
    },

    async validate(call) {
      await network.validate(call)
      await orders.validate(call)
    },

    async ensureKey({ name, publicKey }, call) {
      const command = new ImportKeyPairCommand({ KeyName: name, PublicKeyMaterial: Buffer.from(publicKey) })
      const sending = ec2.ask((client, options) => client.send(command, options), call)
      await unless(/^InvalidKeyPair\.Duplicate$/, sending)
    },

    ensureNetworkAccess: (group, call) => network.ensure(group, call),
    ensureAddress: async (machine) => machine,

    async destroy({ id }, call) {
      if (id === undefined) return
      const command = new TerminateInstancesCommand({ InstanceIds: [id] })
      const sending = ec2.ask((client, options) => client.send(command, options), call)
      await unless(/^InvalidInstanceID\.NotFound$/, sending)
    },

    // A new access key may be that of another account.
    async isHome({ name }, call) {
      const command = new DescribeKeyPairsCommand({ Filters: [{ Name: 'key-name', Values: [name] }] })
      const { KeyPairs = [] } = await ec2.ask((client, options) => client.send(command, options), call)
      return KeyPairs.length > 0
    },

    async release(group, call) {
      await ec2.ask((client, options) => client.send(new DeleteKeyPairCommand({ KeyName: group.name }), options), call)
      await network.release(group, call)
    }
  }
}

/** Key and group were made a moment ago: Amazon may not know them everywhere yet. */
function notYet(error: CloudProblem): never {
  const isLate = /^Invalid(?:KeyPair|Group)\.NotFound$/.test(codeOf(error.cause))
  throw isLate ? new CloudProblem('unavailable', error.message, undefined, { cause: error }) : error
}

function started({ LaunchTime }: Instance): number {
  return LaunchTime?.getTime() ?? 0
}

const states: Record<string, Machine['state']> = {
  pending: 'PENDING',
  running: 'RUNNING',
  stopping: 'STOPPED',
  stopped: 'STOPPED',
  'shutting-down': 'STOPPED',
  terminated: 'GONE'
}

function toMachine(instance: Instance, { isPrivate }: Ec2Settings): Machine {
  const privateAddress = instance.PrivateIpAddress ?? ''
  return {
    id: instance.InstanceId ?? '',
    tag: instance.Tags?.find(({ Key }) => Key === machineTag)?.Value ?? '',
    state: states[instance.State?.Name ?? ''] ?? 'PENDING',
    address: isPrivate ? privateAddress : (instance.PublicIpAddress ?? ''),
    privateAddress,
    message: instance.StateReason?.Message?.slice(0, 300) ?? ''
  }
}
