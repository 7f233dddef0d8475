import type { ProviderType } from '../../src/providers/driver.js'
import type { Test } from '../support.js'
import { startAmazon } from './amazonec2.js'
import type { Cloud } from './cloud.js'
import { startGoogle } from './google.js'
import { startOpenstack } from './openstack/openstack.js'

const starters: Record<ProviderType, (t: Test) => Promise<Cloud>> = {
  openstack: startOpenstack,
  amazonec2: startAmazon,
  google: startGoogle
}

export function startCloud(t: Test, type: ProviderType): Promise<Cloud> {
  return starters[type](t)
}

/** Settings of the service by which it finds the cloud. */
export function envOf({ url }: Pick<Cloud, 'url'>): NodeJS.ProcessEnv {
  return {
    PROVIDER_ALLOWED_HOSTS: '127.0.0.1',
    EC2_URL: url,
    GOOGLE_COMPUTE_URL: `${url}/compute/v1`,
    GOOGLE_TOKEN_URL: `${url}/token`
  }
}

export * from './cloud.js'
export { driverOf } from './driverOf.js'
export { letHosts } from './letHosts.js'
