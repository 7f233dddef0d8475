import { bad, readerOf } from '../fields.js'
import type { Settings } from '../providerFields.js'

export interface OpenstackSettings {
  /** Of Keystone v3, without a slash at its end. */
  authUrl: string
  username: string
  password: string
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
export function readOpenstack(settings: Settings, password: string): OpenstackSettings {
  const read = readerOf(settings)
  if (password === '') throw bad('openstack-password', 'is required to make machines')
  return {
    authUrl: keystoneV3(read.text('openstack-auth-url')),
    username: read.text('openstack-username'),
    password,
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

/** Addresses from the time of v2.0, and those without a version, mean the v3 that stands beside it. */
function keystoneV3(url: string): string {
  const bare = url.replace(/\/+$/, '').replace(/\/v2\.0$/, '')
  return /\/v3$/.test(bare) ? bare : `${bare}/v3`
}
