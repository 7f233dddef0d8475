import { randomBytes } from 'node:crypto'
import type { Test } from '../support.js'
import {
  type Cloud,
  type FakeAnswer,
  type FakeMachine,
  type FakeRequest,
  type Fault,
  leave,
  look,
  newCloud,
  order,
  serve,
  vanish
} from './cloud.js'

const accessKey = 'AKIAFAKE0000EXAMPLE'
const profileArn = 'arn:aws:iam::123456789012:instance-profile/tills/till-role'
/** Of the image: the second stays unless the order says otherwise. */
const imageDisks = [
  ['/dev/xvda', true],
  ['/dev/sdb', false]
] as const
const states = {
  pending: ['0', 'pending'],
  running: ['16', 'running'],
  going: ['32', 'shutting-down'],
  gone: ['48', 'terminated'],
  failed: ['48', 'terminated']
} as const

/** Amazon EC2's Query API: form in, XML out, version 2016-11-15. */
export async function startAmazon(t: Test): Promise<Cloud> {
  const cloud = newCloud('amazonec2')
  /** ClientTokens, with what was asked for and the machine that each stands for, gone or not. */
  const tokens = new Map<string, { asked: string; machine: FakeMachine }>()
  const groupIds = new Map<string, string>()
  /** Amazon tells of them for an hour. */
  const ended = new Map<string, FakeMachine>()

  async function act(ask: URLSearchParams): Promise<FakeAnswer> {
    const action = ask.get('Action') ?? ''
    const filter = (name: string) => {
      const at = [1, 2, 3].find((index) => ask.get(`Filter.${index}.Name`) === name)
      return at === undefined ? null : ask.get(`Filter.${at}.Value.1`)
    }
    switch (action) {
      case 'DescribeImages':
        return ask.get('ImageId.1') === 'ami-0fake'
          ? xml(action, list('imagesSet', [shownImage]))
          : refused(400, 'InvalidAMIID.NotFound', `The image id '[${ask.get('ImageId.1')}]' does not exist`)
      case 'DescribeInstanceTypes': {
        const type = ask.get('InstanceType.1')
        return type === 't3.small'
          ? xml(action, list('instanceTypeSet', [`<instanceType>${type}</instanceType>`]))
          : refused(400, 'InvalidInstanceType', `The following supplied instance types do not exist: [${type}]`)
      }
      case 'DescribeVpcs':
        return xml(action, list('vpcSet', ['<vpcId>vpc-0fake</vpcId><isDefault>true</isDefault>']))
      case 'DescribeSubnets':
        return xml(action, list('subnetSet', ['<subnetId>subnet-0fake</subnetId><vpcId>vpc-0fake</vpcId>']))
      case 'DescribeSecurityGroups': {
        const name = filter('group-name') ?? ''
        const id = groupIds.get(name)
        return xml(
          action,
          list('securityGroupInfo', id ? [`<groupId>${id}</groupId><groupName>${name}</groupName>`] : [])
        )
      }
      case 'CreateSecurityGroup': {
        const name = ask.get('GroupName') ?? ''
        if (groupIds.has(name)) return refused(400, 'InvalidGroup.Duplicate', `The group '${name}' exists`)
        const id = `sg-${randomBytes(6).toString('hex')}`
        groupIds.set(name, id)
        cloud.groups.set(name, [])
        return xml(action, `<groupId>${id}</groupId>`)
      }
      case 'AuthorizeSecurityGroupIngress':
        return authorize(ask, action)
      case 'DeleteSecurityGroup': {
        const [name] = [...groupIds].find(([, id]) => id === ask.get('GroupId')) ?? []
        if (!name) return refused(400, 'InvalidGroup.NotFound', 'The security group does not exist')
        if ([...cloud.machines.values()].some(({ order }) => order.groups.includes(name)))
          return refused(400, 'DependencyViolation', `resource ${ask.get('GroupId')} has a dependent object`)
        groupIds.delete(name)
        cloud.groups.delete(name)
        return xml(action, '<return>true</return>')
      }
      case 'ImportKeyPair': {
        const name = ask.get('KeyName') ?? ''
        if (cloud.keys.has(name))
          return refused(400, 'InvalidKeyPair.Duplicate', `The keypair '${name}' already exists.`)
        cloud.keys.set(name, Buffer.from(ask.get('PublicKeyMaterial') ?? '', 'base64').toString())
        return xml(action, `<keyName>${name}</keyName>`)
      }
      case 'DescribeKeyPairs': {
        const name = filter('key-name') ?? ''
        return xml(action, list('keySet', cloud.keys.has(name) ? [`<keyName>${name}</keyName>`] : []))
      }
      case 'DeleteKeyPair':
        cloud.keys.delete(ask.get('KeyName') ?? '')
        return xml(action, '<return>true</return>')
      case 'RunInstances':
        return run(ask, action)
      case 'DescribeInstances':
        return describe(ask, filter)
      case 'TerminateInstances': {
        const machine = cloud.machines.get(ask.get('InstanceId.1') ?? '')
        if (!machine) return refused(400, 'InvalidInstanceID.NotFound', 'The instance ID does not exist')
        leave(machine)
        const state = '<currentState><code>32</code><name>shutting-down</name></currentState>'
        return xml(action, list('instancesSet', [`<instanceId>${machine.id}</instanceId>${state}`]))
      }
      default:
        return refused(400, 'InvalidAction', `The action ${action} is not valid for this web service.`)
    }
  }

  function authorize(ask: URLSearchParams, action: string): FakeAnswer {
    const [name = ''] = [...groupIds].find(([, id]) => id === ask.get('GroupId')) ?? []
    const rules = cloud.groups.get(name)
    if (!rules) return refused(400, 'InvalidGroup.NotFound', 'The security group does not exist')
    const port = ask.get('IpPermissions.1.FromPort')
    const rule = { ports: port ? [Number(port)] : [], from: ask.get('IpPermissions.1.IpRanges.1.CidrIp') ?? name }
    if (rules.some((one) => JSON.stringify(one) === JSON.stringify(rule)))
      return refused(400, 'InvalidPermission.Duplicate', 'the specified rule already exists')
    rules.push(rule)
    return xml(action, '<return>true</return>')
  }

  async function run(ask: URLSearchParams, action: string): Promise<FakeAnswer> {
    const token = ask.get('ClientToken') ?? ''
    const asked = ask.toString()
    const { machine: known, asked: before } = tokens.get(token) ?? {}
    if (known && asked !== before)
      return refused(400, 'IdempotentParameterMismatch', 'Arguments on this idempotent request are inconsistent')
    if (known)
      return xml(action, list('instancesSet', [shown(known, cloud.machines.has(known.id) ? 'pending' : 'gone')]))
    const profile = ask.get('IamInstanceProfile.Name') ?? ask.get('IamInstanceProfile.Arn') ?? ''
    if (!['', 'till-role', profileArn].includes(profile)) {
      const text = `Value (${profile}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name`
      return refused(400, 'InvalidParameterValue', text)
    }
    if (ask.get('DryRun') === 'true')
      return refused(412, 'DryRunOperation', 'Request would have succeeded, but DryRun flag is set.')
    const fault = cloud.createFaults.shift()
    if (fault && fault !== 'silent') return faulty(fault)
    const keyName = ask.get('KeyName') ?? ''
    const publicKey = cloud.keys.get(keyName)
    if (publicKey === undefined)
      return refused(400, 'InvalidKeyPair.NotFound', `The key pair '${keyName}' does not exist`)
    const tags = tagsOf(ask)
    const machine = await order(cloud, {
      id: `i-${randomBytes(8).toString('hex')}`,
      tag: tags.get('fleetgate-machine') ?? '',
      cluster: tags.get('fleetgate-cluster') ?? '',
      name: tags.get('Name') ?? '',
      order: {
        publicKey,
        user: '',
        image: ask.get('ImageId') ?? '',
        size: `${ask.get('InstanceType')} ${ask.get('BlockDeviceMapping.1.Ebs.VolumeSize')}`,
        groups: [...groupIds].flatMap(([name, id]) =>
          id === ask.get('NetworkInterface.1.SecurityGroupId.1') ? [name] : []
        ),
        network: ask.get('NetworkInterface.1.SubnetId') ?? '',
        lasting: lastingOf(ask),
        more: { profile, httpTokens: ask.get('MetadataOptions.HttpTokens') }
      }
    })
    tokens.set(token, { asked, machine })
    return { ...xml(action, list('instancesSet', [shown(machine, 'pending')])), isSilent: fault === 'silent' }
  }

  function stateOf(machine: FakeMachine): keyof typeof states {
    const state = cloud.machines.has(machine.id) ? look(cloud, machine) : machine.isFailed ? 'failed' : 'gone'
    if (state === 'failed') vanish(cloud, machine)
    if (state === 'failed' || state === 'gone') ended.set(machine.id, machine)
    return state
  }

  function describe(ask: URLSearchParams, filter: (name: string) => string | null): FakeAnswer {
    const [id, tag, cluster] = [filter('instance-id'), filter('tag:fleetgate-machine'), filter('tag:fleetgate-cluster')]
    const is = (one: FakeMachine) =>
      (id ?? one.id) === one.id && (tag ?? one.tag) === one.tag && (cluster ?? one.cluster) === one.cluster
    const all = [...cloud.machines.values(), ...ended.values()].filter(is)
    const from = Number(ask.get('NextToken') ?? 0)
    const page = all.slice(from, from + cloud.pageSize)
    const items = page.map((one) => {
      return `<reservationId>r-1</reservationId>${list('instancesSet', [shown(one, stateOf(one))])}`
    })
    const next = from + page.length < all.length ? `<nextToken>${from + page.length}</nextToken>` : ''
    return xml('DescribeInstances', `${list('reservationSet', items)}${next}`)
  }

  cloud.url = await serve(t, async ({ headers, body }: FakeRequest) => {
    const fault = cloud.faults.shift()
    if (fault) return faulty(fault)
    const [, credential] = /^AWS4-HMAC-SHA256 Credential=([^/]+)\//.exec(headers.authorization ?? '') ?? []
    if (credential !== accessKey) return faulty('credentials')
    return act(new URLSearchParams(body))
  })
  cloud.infos = {
    awsEc2Info: {
      'amazonec2-access-key': accessKey,
      'amazonec2-secret-key': 'amazon-secret',
      'amazonec2-ami': 'ami-0fake',
      'amazonec2-instance-type': 't3.small',
      'amazonec2-root-size': '20',
      'amazonec2-region': 'eu-central-1',
      'amazonec2-vpc-id': 'vpc-0fake'
    }
  }
  return cloud
}

const shownImage = [
  '<imageId>ami-0fake</imageId><rootDeviceName>/dev/xvda</rootDeviceName>',
  list(
    'blockDeviceMapping',
    imageDisks.map(([name, isGoing]) => {
      const disk = `<volumeSize>8</volumeSize><deleteOnTermination>${isGoing}</deleteOnTermination>`
      return `<deviceName>${name}</deviceName><ebs>${disk}</ebs>`
    })
  )
].join('')

/** The image's disks, as the order changes them, that stay when the machine ends. */
function lastingOf(ask: URLSearchParams): string[] {
  const going = new Map<string, boolean>(imageDisks)
  for (let index = 1; ask.has(`BlockDeviceMapping.${index}.DeviceName`); index++) {
    const isGoing = ask.get(`BlockDeviceMapping.${index}.Ebs.DeleteOnTermination`) === 'true'
    going.set(ask.get(`BlockDeviceMapping.${index}.DeviceName`) ?? '', isGoing)
  }
  return [...going].flatMap(([name, isGoing]) => (isGoing ? [] : [name]))
}

function tagsOf(ask: URLSearchParams): Map<string, string> {
  const tags = new Map<string, string>()
  for (let index = 1; ask.has(`TagSpecification.1.Tag.${index}.Key`); index++) {
    tags.set(
      ask.get(`TagSpecification.1.Tag.${index}.Key`) ?? '',
      ask.get(`TagSpecification.1.Tag.${index}.Value`) ?? ''
    )
  }
  return tags
}

function shown(machine: FakeMachine, state: keyof typeof states): string {
  const [code, name] = states[state]
  const isUp = state === 'running'
  const tags = { 'fleetgate-machine': machine.tag, 'fleetgate-cluster': machine.cluster, Name: machine.name }
  const tagSet = list(
    'tagSet',
    Object.entries(tags).map(([key, value]) => `<key>${key}</key><value>${value}</value>`)
  )
  return [
    `<instanceId>${machine.id}</instanceId><instanceState><code>${code}</code><name>${name}</name></instanceState>`,
    `<launchTime>${new Date(machine.createdAt).toISOString()}</launchTime>`,
    isUp
      ? `<ipAddress>${machine.address}</ipAddress><privateIpAddress>${machine.privateAddress}</privateIpAddress>`
      : '',
    state === 'failed'
      ? '<stateReason><code>Server.InternalError</code><message>the host broke</message></stateReason>'
      : '',
    tagSet
  ].join('')
}

function list(name: string, items: string[]): string {
  return `<${name}>${items.map((item) => `<item>${item}</item>`).join('')}</${name}>`
}

function xml(action: string, content: string): FakeAnswer {
  const body = `<?xml version="1.0"?><${action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>${content}</${action}Response>`
  return { status: 200, body, headers: { 'content-type': 'text/xml;charset=UTF-8' } }
}

function faulty(fault: Fault): FakeAnswer {
  if (fault === 'quota')
    return refused(400, 'VcpuLimitExceeded', 'You have requested more vCPU capacity than your current limit')
  if (fault === 'throttled') return refused(503, 'RequestLimitExceeded', 'Request limit exceeded.')
  if (fault === 'credentials')
    return refused(401, 'AuthFailure', 'AWS was not able to validate the provided access credentials')
  return refused(503, 'Unavailable', 'The server is overloaded and can not handle the request.')
}

function refused(status: number, code: string, message: string): FakeAnswer {
  const body = `<?xml version="1.0"?><Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors><RequestID>1</RequestID></Response>`
  return { status, body, headers: { 'content-type': 'text/xml;charset=UTF-8' } }
}
