import { type Static, Type } from '@fleetgate/kit'
import type { ProviderType } from './driver.js'
import { bad } from './fields.js'

/** Names and values as the document has them; a value that is not there is empty. */
export type Settings = Readonly<Record<string, string>>

interface Section {
  /** The object of the document that holds the fields. */
  info: 'openstackInfo' | 'awsEc2Info' | 'googleInfo'
  fields: readonly string[]
  /** Ours: what clouds of today want and the document lacks. */
  ours: readonly string[]
  /** Sealed at rest, shown as a mask. An account keeps one: that of the log-in it is told to take. */
  secrets: readonly [string, ...string[]]
  /** Who logs in to the machines; otherwise `sshUser`. */
  user: string
  /** Where machines are: stays while a cluster has machines there. */
  place: readonly string[]
}

export const sections: Readonly<Record<ProviderType, Section>> = {
  openstack: {
    info: 'openstackInfo',
    fields: [
      'openstack-auth-url',
      'openstack-username',
      'openstack-password',
      'openstack-tenant-name',
      'openstack-flavor-name',
      'openstack-image-name',
      'openstack-ssh-user',
      'openstack-sec-groups',
      'openstack-floatingip-pool',
      'openstack-nova-network'
    ],
    ours: [
      'openstack-application-credential-id',
      'openstack-application-credential-name',
      'openstack-application-credential-secret',
      'openstack-domain-name',
      'openstack-region',
      'openstack-network'
    ],
    secrets: ['openstack-password', 'openstack-application-credential-secret'],
    user: 'openstack-ssh-user',
    place: ['openstack-auth-url', 'openstack-tenant-name', 'openstack-domain-name', 'openstack-region']
  },
  amazonec2: {
    info: 'awsEc2Info',
    fields: [
      'amazonec2-access-key',
      'amazonec2-secret-key',
      'amazonec2-ami',
      'amazonec2-instance-type',
      'amazonec2-root-size',
      'amazonec2-region',
      'amazonec2-vpc-id',
      'amazonec2-ssh-user'
    ],
    ours: [
      'amazonec2-subnet-id',
      'amazonec2-security-groups',
      'amazonec2-use-private-address',
      'amazonec2-iam-instance-profile',
      'amazonec2-http-tokens'
    ],
    secrets: ['amazonec2-secret-key'],
    user: 'amazonec2-ssh-user',
    place: ['amazonec2-region']
  },
  google: {
    info: 'googleInfo',
    fields: [
      'google-project',
      'google-zone',
      'google-machine-type',
      'google-machine-image',
      'google-network',
      'google-username',
      'google-disk-size',
      'google-disk-type',
      'google-use-internal-ip',
      'google-tags',
      'google-application-credentials'
    ],
    ours: ['google-subnetwork', 'google-service-account', 'google-scopes'],
    secrets: ['google-application-credentials'],
    user: 'google-username',
    place: ['google-project', 'google-zone']
  }
}

/** The document's request spells it so once. */
export const misspelt = 'google-applocation-credentials'
/** Stands where a secret is kept; sent back it means: the kept one. */
export const mask = '******'

const Text = Type.String({ maxLength: 1024, pattern: '^[^\\p{Cc}]*$', default: '' })
/** The file of a Google service account has several lines. */
const Secret = Type.String({ maxLength: 16_384, default: '' })
export const SshUser = Type.String({ maxLength: 32, pattern: '^(?:[a-z_][a-z0-9_.-]*)?$', default: '' })

function infoOf({ fields, ours, secrets, user }: Section, aliases: readonly string[] = []) {
  const hidden = [...secrets, ...aliases]
  const schemaOf = (name: string) => (hidden.includes(name) ? Secret : name === user ? SshUser : Text)
  const names = [...fields, ...ours, ...aliases]
  return Type.Object(Object.fromEntries(names.map((name) => [name, schemaOf(name)])), { default: {} })
}

export const infos = {
  openstackInfo: infoOf(sections.openstack),
  awsEc2Info: infoOf(sections.amazonec2),
  googleInfo: infoOf(sections.google, [misspelt])
}
export type Infos = { [K in keyof typeof infos]: Static<(typeof infos)[K]> }

/** Of the secrets of a type the one that these settings log in with: at OpenStack that of an application credential, where one is named. */
export function secretField(type: ProviderType, settings: Settings): string {
  const [first, other = first] = sections[type].secrets
  return hasApplicationCredential(settings) ? other : first
}

export function hasApplicationCredential(settings: Settings): boolean {
  return ['id', 'name'].some((part) => (settings[`openstack-application-credential-${part}`] ?? '').trim() !== '')
}

/** The fields of a type out of a request, the secret apart. Throws `invalid_input` for a secret that would be of no use, and so be lost. */
export function settingsOf(type: ProviderType, given: Infos): { settings: Settings; secret: string } {
  const { info, fields, ours, secrets } = sections[type]
  const values: Record<string, string> = given[info]
  const names = [...fields, ...ours].filter((name) => !secrets.includes(name))
  const settings = Object.fromEntries(names.map((name) => [name, values[name] ?? '']))
  const used = secretField(type, settings)
  const useless = secrets.find((name) => name !== used && isGiven(values[name]))
  if (useless === 'openstack-password') throw bad(useless, 'is not taken beside an application credential')
  if (useless) throw bad('openstack-application-credential-id', `or its name is required beside ${useless}`)
  return { settings, secret: values[used] || (type === 'google' && values[misspelt]) || '' }
}

/** Anything else means the one that is kept. */
export function isGiven(secret = ''): boolean {
  return secret !== '' && secret !== mask
}

/** All three objects, as every answer has them; those of other types are empty. */
export function toInfos(type: ProviderType, settings: Settings, hasSecret: boolean): Infos {
  const secret = secretField(type, settings)
  const entries = Object.values(sections).map(({ info, fields, ours }) => {
    const isOwn = sections[type].info === info
    const shown = (name: string) => (name === secret && hasSecret ? mask : (settings[name] ?? ''))
    const names = isOwn ? [...fields, ...ours] : fields
    return [info, Object.fromEntries(names.map((name) => [name, isOwn ? shown(name) : '']))]
  })
  return Object.fromEntries(entries) as Infos
}
