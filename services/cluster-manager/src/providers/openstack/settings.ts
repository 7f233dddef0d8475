import { bad, readerOf } from '../fields.js'
import { hasApplicationCredential, type Settings } from '../providerFields.js'

/** How Keystone is asked for a token. An application credential belongs to one user and one project. */
export type Login =
  | { kind: 'password'; username: string; password: string }
  | { kind: 'credential'; id: string; secret: string }
  | { kind: 'namedCredential'; name: string; username: string; secret: string }

export interface OpenstackSettings {
  /** Of Keystone v3, without a slash at its end. */
  authUrl: string
  login: Login
  project: string
  domain: string
  region: string
  flavor: string
  image: string
  /** Names of groups that are there already; where there are some, none is made. */
  securityGroups: string[]
  /** Name of the outer network that floating addresses come from; empty: machines are reached at their own. */
  floatingPool: string
  network: string
}

/** Throws `invalid_input` with the field that is missing or wrong. */
export function readOpenstack(settings: Settings, secret: string): OpenstackSettings {
  const read = readerOf(settings)
  return {
    authUrl: keystoneV3(read.text('openstack-auth-url')),
    login: loginOf(settings, secret),
    project: read.text('openstack-tenant-name'),
    domain: read.optional('openstack-domain-name') || 'Default',
    region: read.optional('openstack-region'),
    flavor: read.text('openstack-flavor-name'),
    image: read.text('openstack-image-name'),
    securityGroups: read.words('openstack-sec-groups'),
    floatingPool: read.optional('openstack-floatingip-pool'),
    network: read.optional('openstack-network')
  }
}

/** An id says enough; a name is one of a user's. */
function loginOf(settings: Settings, secret: string): Login {
  const read = readerOf(settings)
  if (!hasApplicationCredential(settings)) {
    if (secret === '') throw bad('openstack-password', 'is required to make machines')
    return { kind: 'password', username: read.text('openstack-username'), password: secret }
  }
  if (secret === '') throw bad('openstack-application-credential-secret', 'is required to make machines')
  const id = read.optional('openstack-application-credential-id', /^[0-9A-Za-z-]{1,64}$/)
  if (id) return { kind: 'credential', id, secret }
  const name = read.text('openstack-application-credential-name')
  return { kind: 'namedCredential', name, username: read.text('openstack-username'), secret }
}

/** Addresses from the time of v2.0, and those without a version, mean the v3 that stands beside it. */
function keystoneV3(url: string): string {
  const bare = url.replace(/\/+$/, '').replace(/\/v2\.0$/, '')
  return /\/v3$/.test(bare) ? bare : `${bare}/v3`
}
