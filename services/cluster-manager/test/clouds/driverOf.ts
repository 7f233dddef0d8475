import type { Http } from '@fleetgate/kit/outbound'
import { createSecrets, loadKeyRing } from '@fleetgate/store'
import type { Driver } from '../../src/providers/driver.js'
import { createDrivers } from '../../src/providers/drivers.js'
import { type Provider, providerContext } from '../../src/providers/provider.js'
import { type Infos, sections, settingsOf } from '../../src/providers/providerFields.js'
import type { Cloud } from './cloud.js'

const secrets = createSecrets({ keys: loadKeyRing({ value: `test:${Buffer.alloc(32, 7).toString('base64')}` }) })

/** The account at the cloud, with some fields changed. */
export async function driverOf(
  { type, url, infos }: Cloud,
  http: Http,
  change: Record<string, string> = {}
): Promise<Driver> {
  const { info } = sections[type]
  const { settings, secret } = settingsOf(type, { ...infos, [info]: { ...infos[info], ...change } } as Infos)
  const id = '59c3556b284ae3000bf663f9'
  const sealedSecret = secrets.seal(secret, providerContext(id))
  const provider = { id, type, settings, sealedSecret, sshUser: 'admin', sshPort: 22 } as Provider
  const google = { compute: url, token: `${url}/token` }
  return createDrivers({ secrets, guarded: http, google, ec2Endpoint: url, now: Date.now }).open(provider)
}
