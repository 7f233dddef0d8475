import {
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  DeleteSecurityGroupCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  type IpPermission
} from '@aws-sdk/client-ec2'
import { type Call, CloudProblem, type MachineGroup } from '../driver.js'
import { type Ec2, unless } from './ec2Client.js'
import type { Ec2Settings } from './settings.js'

export type Network = ReturnType<typeof createNetwork>

/** Where machines are put, and the cluster's own rules there. */
export function createNetwork(ec2: Ec2, { vpc, subnet, securityGroups, isPrivate }: Ec2Settings) {
  let home: Promise<string> | undefined

  function vpcId(call: Call): Promise<string> {
    home ??= vpc ? Promise.resolve(vpc) : subnet ? vpcOfSubnet(call) : defaultVpc(call)
    home.catch(() => {
      home = undefined
    })
    return home
  }

  async function vpcOfSubnet(call: Call): Promise<string> {
    const command = new DescribeSubnetsCommand({ SubnetIds: [subnet] })
    const { Subnets = [] } = await ec2.ask((client, options) => client.send(command, options), call)
    return Subnets[0]?.VpcId ?? missing(`subnet ${subnet}`)
  }

  async function defaultVpc(call: Call): Promise<string> {
    const command = new DescribeVpcsCommand({ Filters: [{ Name: 'is-default', Values: ['true'] }] })
    const { Vpcs = [] } = await ec2.ask((client, options) => client.send(command, options), call)
    return Vpcs[0]?.VpcId ?? missing('default VPC: name one in amazonec2-vpc-id')
  }

  /** In a VPC that is named a machine needs one of its subnets; in the default one Amazon picks. */
  async function subnetId(call: Call): Promise<string | undefined> {
    if (subnet || !vpc) return subnet || undefined
    const command = new DescribeSubnetsCommand({ Filters: [{ Name: 'vpc-id', Values: [vpc] }] })
    const { Subnets = [] } = await ec2.ask((client, options) => client.send(command, options), call)
    const [first] = Subnets.map(({ SubnetId }) => SubnetId ?? '').sort()
    return first ?? missing(`subnet in ${vpc}`)
  }

  /** A machine's way to the network, but for the rules of its own cluster. */
  async function place(call: Call) {
    const SubnetId = await subnetId(call)
    return {
      DeviceIndex: 0,
      AssociatePublicIpAddress: !isPrivate,
      DeleteOnTermination: true,
      ...(securityGroups.length > 0 ? { Groups: securityGroups } : {}),
      ...(SubnetId ? { SubnetId } : {})
    }
  }

  async function groupId(name: string, call: Call): Promise<string | undefined> {
    const Filters = [
      { Name: 'group-name', Values: [name] },
      { Name: 'vpc-id', Values: [await vpcId(call)] }
    ]
    const command = new DescribeSecurityGroupsCommand({ Filters })
    const { SecurityGroups = [] } = await ec2.ask((client, options) => client.send(command, options), call)
    return SecurityGroups[0]?.GroupId
  }

  async function make(name: string, call: Call): Promise<string> {
    const command = new CreateSecurityGroupCommand({
      GroupName: name,
      Description: 'Machines of one Fleetgate cluster',
      VpcId: await vpcId(call)
    })
    const { GroupId } = await ec2.ask((client, options) => client.send(command, options), call)
    return GroupId ?? missing(`security group ${name}`)
  }

  async function allow(GroupId: string, permission: IpPermission, call: Call): Promise<void> {
    const command = new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions: [permission] })
    await unless(
      /^InvalidPermission\.Duplicate$/,
      ec2.ask((client, options) => client.send(command, options), call)
    )
  }

  return {
    async validate(call: Call): Promise<void> {
      await vpcId(call)
      await subnetId(call)
      if (securityGroups.length === 0) return
      const command = new DescribeSecurityGroupsCommand({ GroupIds: securityGroups })
      await ec2.ask((client, options) => client.send(command, options), call)
    },

    async ensure({ name, ports, from }: MachineGroup, call: Call): Promise<void> {
      if (securityGroups.length > 0) return
      const id = (await groupId(name, call)) ?? (await make(name, call))
      for (const port of ports) {
        await allow(id, { IpProtocol: 'tcp', FromPort: port, ToPort: port, IpRanges: [{ CidrIp: from }] }, call)
      }
      await allow(id, { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: id }] }, call)
    },

    place,

    async interfaceOf({ name }: MachineGroup, call: Call) {
      const there = await place(call)
      return securityGroups.length > 0 ? there : { ...there, Groups: [(await groupId(name, call)) ?? late(name)] }
    },

    async release({ name }: MachineGroup, call: Call): Promise<void> {
      if (securityGroups.length > 0) return
      const GroupId = await groupId(name, call)
      if (!GroupId) return
      const command = new DeleteSecurityGroupCommand({ GroupId })
      const sending = ec2.ask((client, options) => client.send(command, options), call)
      await unless(/^InvalidGroup\.NotFound$/, sending).catch((error: CloudProblem) => {
        // A machine that ends still counts.
        const isHeld = /DependencyViolation|InvalidGroup\.InUse/.test(error.message)
        throw isHeld ? new CloudProblem('unavailable', error.message, undefined, { cause: error }) : error
      })
    }
  }
}

/** Amazon shows what was made a moment ago with a delay. */
function late(name: string): never {
  throw new CloudProblem('unavailable', `Amazon EC2 does not show the security group ${name} yet`)
}

function missing(what: string): never {
  throw new CloudProblem('invalid', `Amazon EC2 has no ${what}`)
}
