import { bad, readerOf } from '../fields.js'
import type { Settings } from '../providerFields.js'

export interface Ec2Settings {
  accessKey: string
  secretKey: string
  /** Becomes part of the address that is called. */
  region: string
  image: string
  instanceType: string
  /** GiB; 0 for what the image has. */
  rootSize: number
  /** Empty: the region's default one. */
  vpc: string
  /** Empty: one of the VPC's. */
  subnet: string
  /** Ids of groups that are there already; where there are some, none is made. */
  securityGroups: string[]
  isPrivate: boolean
  /** Name or ARN of the instance profile whose role the machines have; empty: none. */
  profile: string
  /** Whether the machines' metadata service answers only who fetched a token before (IMDSv2). */
  httpTokens: 'required' | 'optional'
}

const profileForm = /^(?:arn:aws[a-z-]*:iam::\d{12}:instance-profile\/(?:[\w+=,.@-]+\/)*)?[\w+=,.@-]{1,128}$/

/** Throws `invalid_input` with the field that is missing or wrong. */
export function readEc2(settings: Settings, secretKey: string): Ec2Settings {
  const read = readerOf(settings)
  if (secretKey === '') throw bad('amazonec2-secret-key', 'is required to make machines')
  return {
    accessKey: read.text('amazonec2-access-key', /^[A-Za-z0-9]{4,128}$/),
    secretKey,
    region: read.text('amazonec2-region', /^[a-z]{2}(?:-[a-z]+){1,3}-\d{1,2}$/),
    image: read.text('amazonec2-ami', /^ami-[0-9a-z]{4,32}$/),
    instanceType: read.text('amazonec2-instance-type', /^[a-z0-9-]+\.[a-z0-9-]+$/),
    rootSize: read.whole('amazonec2-root-size'),
    vpc: read.optional('amazonec2-vpc-id', /^vpc-[0-9a-z]{4,32}$/),
    subnet: read.optional('amazonec2-subnet-id', /^subnet-[0-9a-z]{4,32}$/),
    securityGroups: read.words('amazonec2-security-groups', /^sg-[0-9a-z]{4,32}$/),
    isPrivate: read.isTrue('amazonec2-use-private-address'),
    profile: read.optional('amazonec2-iam-instance-profile', profileForm),
    httpTokens: read.oneOf('amazonec2-http-tokens', ['required', 'optional'])
  }
}
