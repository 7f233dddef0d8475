import { createHash } from 'node:crypto'
import {
  DescribeImagesCommand,
  DescribeInstanceTypesCommand,
  RunInstancesCommand,
  type RunInstancesCommandInput
} from '@aws-sdk/client-ec2'
import { type Call, CloudProblem, clusterTag, type MachineSpec, machineTag } from '../driver.js'
import { type Ec2, unless } from './ec2Client.js'
import type { Network } from './network.js'
import type { Ec2Settings } from './settings.js'

/** What is asked for when a machine is made. */
export function createOrders(ec2: Ec2, network: Network, settings: Ec2Settings) {
  async function image(call: Call) {
    const { Images = [] } = await ec2.ask(
      (client, options) => client.send(new DescribeImagesCommand({ ImageIds: [settings.image] }), options),
      call
    )
    const [found] = Images
    if (!found) throw new CloudProblem('invalid', `Amazon EC2 has no image ${settings.image} in ${settings.region}`)
    return found
  }

  /** Whoever may not look can still order. */
  async function typeKnown(call: Call): Promise<void> {
    const command = new DescribeInstanceTypesCommand({ InstanceTypes: [settings.instanceType as never] })
    await unless(
      /^UnauthorizedOperation$/,
      ec2.ask((client, options) => client.send(command, options), call)
    )
  }

  /** The root disk of the size that is asked for, and what other disks the image brings: all go with the machine. */
  async function disks(call: Call) {
    const { RootDeviceName, BlockDeviceMappings = [] } = await image(call)
    const others = BlockDeviceMappings.flatMap(({ DeviceName, Ebs }) =>
      Ebs && DeviceName && DeviceName !== RootDeviceName ? [DeviceName] : []
    )
    const size = settings.rootSize > 0 ? { VolumeSize: settings.rootSize } : {}
    const root = RootDeviceName ? [{ DeviceName: RootDeviceName, Ebs: { DeleteOnTermination: true, ...size } }] : []
    const all = [...root, ...others.map((DeviceName) => ({ DeviceName, Ebs: { DeleteOnTermination: true } }))]
    return all.length > 0 ? { BlockDeviceMappings: all } : {}
  }

  /** What does not depend on the cluster. */
  function kind() {
    const { profile } = settings
    return {
      ImageId: settings.image,
      InstanceType: settings.instanceType as never,
      MinCount: 1,
      MaxCount: 1,
      MetadataOptions: { HttpTokens: settings.httpTokens },
      ...(profile ? { IamInstanceProfile: profile.startsWith('arn:') ? { Arn: profile } : { Name: profile } } : {})
    }
  }

  /** Whether the profile may be given to a machine. Amazon answers a rehearsal with an error, whatever comes of it. */
  async function profileKnown(call: Call): Promise<void> {
    if (!settings.profile) return
    const NetworkInterfaces = [await network.place(call)]
    const command = new RunInstancesCommand({ ...kind(), NetworkInterfaces, DryRun: true })
    await unless(
      /^DryRunOperation$/,
      ec2.ask((client, options) => client.send(command, options), call)
    )
  }

  return {
    async validate(call: Call): Promise<void> {
      await image(call)
      await typeKnown(call)
      await profileKnown(call)
    },

    async of({ tag, name, group }: MachineSpec, call: Call): Promise<RunInstancesCommandInput> {
      const tags = [
        { Key: 'Name', Value: name },
        { Key: machineTag, Value: tag },
        { Key: clusterTag, Value: group.clusterId }
      ]
      const asked: RunInstancesCommandInput = {
        ...kind(),
        KeyName: group.name,
        NetworkInterfaces: [await network.interfaceOf(group, call)],
        TagSpecifications: [
          { ResourceType: 'instance', Tags: tags },
          { ResourceType: 'volume', Tags: tags }
        ],
        ...(await disks(call))
      }
      return { ...asked, ClientToken: tokenOf(tag, asked) }
    }
  }
}

/**
 * At most 64 characters. The same token with another order is an IdempotentParameterMismatch at Amazon, for ever: where image,
 * type, key or group were changed between two attempts the order is a new one, and of two machines one is taken away.
 */
function tokenOf(tag: string, asked: RunInstancesCommandInput): string {
  return `${tag}-${createHash('sha256').update(JSON.stringify(asked)).digest('hex').slice(0, 16)}`
}
