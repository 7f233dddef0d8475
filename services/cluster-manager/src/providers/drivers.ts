import { AppError } from '@fleetgate/kit'
import type { Http } from '@fleetgate/kit/outbound'
import type { Secrets } from '@fleetgate/store'
import { readEc2 } from './amazonec2/settings.js'
import { CloudProblem, type Driver } from './driver.js'
import type { GoogleUrls } from './google/googleClient.js'
import { readGoogle } from './google/settings.js'
import { readOpenstack } from './openstack/settings.js'
import { type Provider, providerContext } from './provider.js'
import { sections } from './providerFields.js'

export interface DriversOptions {
  secrets: Secrets
  /** For addresses that people name: looks where they lead. Those of Amazon and Google are their SDKs' or the operator's. */
  guarded: Http
  google: GoogleUrls
  /** The operator's own in the place of Amazon's. */
  ec2Endpoint: string | undefined
  now: () => number
}

export interface Drivers {
  /** Throws `invalid_input` where the settings are not enough to make machines with. Asks nobody. */
  checkSettings(provider: Provider): void
  open(provider: Provider): Promise<Driver>
  /** Asks the cloud whether log-in and settings are good; throws `invalid_state` with its reason. */
  check(provider: Provider): Promise<void>
}

const checkMs = 20_000

export function userOf({ type, settings, sshUser }: Provider): string {
  return settings[sections[type].user] || sshUser || 'root'
}

/** Clouds by type. What a cloud needs is loaded when the first of its drivers is opened: Amazon's SDK takes 90 MB, Google's 25. */
export function createDrivers({ secrets, guarded, google, ec2Endpoint, now }: DriversOptions): Drivers {
  const secretOf = ({ id, sealedSecret }: Provider) =>
    sealedSecret === '' ? '' : secrets.open(sealedSecret, providerContext(id))

  const openers = {
    openstack(provider: Provider) {
      const settings = readOpenstack(provider.settings, secretOf(provider))
      return async () => (await import('./openstack/openstack.js')).createOpenstack({ settings, http: guarded, now })
    },
    amazonec2(provider: Provider) {
      const settings = readEc2(provider.settings, secretOf(provider))
      const options = { settings, endpoint: ec2Endpoint, now }
      return async () => (await import('./amazonec2/amazonec2.js')).createAmazonEc2(options)
    },
    google(provider: Provider) {
      const settings = readGoogle(provider.settings, secretOf(provider), userOf(provider))
      return async () => (await import('./google/google.js')).createGoogle({ settings, urls: google, now })
    }
  }
  const openerOf = (provider: Provider): (() => Promise<Driver>) => openers[provider.type](provider)

  return {
    checkSettings: (provider) => void openerOf(provider),
    open: (provider) => openerOf(provider)(),
    async check(provider) {
      const driver = await openerOf(provider)()
      const signal = AbortSignal.timeout(checkMs)
      await driver.validate({ signal }).catch((cause: unknown) => {
        if (signal.aborted) throw new AppError('invalid_state', 'the cloud did not answer in time', {}, { cause })
        if (cause instanceof CloudProblem) throw new AppError('invalid_state', cause.message, {}, { cause })
        throw cause
      })
    }
  }
}
