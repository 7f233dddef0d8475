import { createAllowed, createHttp } from '@fleetgate/kit/outbound'
import type { Secrets } from '@fleetgate/store'
import type { Config } from '../config.js'
import type { Logs } from '../logs/log.js'
import { createDrivers } from './drivers.js'
import { createProviders } from './provider.js'
import type { ProviderStore } from './providerStore.js'

export interface ProvidingOptions {
  config: Config
  secrets: Secrets
  store: ProviderStore
  logs: Logs
  now: () => number
}

/** Lists of a cloud are long. */
const maxAnswerBytes = 8_000_000

/** Accounts at clouds, the way to them, and what closes it. */
export function createProviding({ config, secrets, store, logs, now }: ProvidingOptions) {
  const setting = 'PROVIDER_ALLOWED_HOSTS'
  const guarded = createHttp({ allowed: createAllowed(config[setting]), setting, maxAnswerBytes })
  const drivers = createDrivers({
    secrets,
    guarded: guarded.http,
    // Its version is the SDK's.
    google: { compute: config.GOOGLE_COMPUTE_URL.replace(/\/compute\/v1\/*$/, ''), token: config.GOOGLE_TOKEN_URL },
    ec2Endpoint: config.EC2_URL,
    now
  })
  return {
    drivers,
    providers: createProviders({ store, secrets, logs, check: drivers.check, now }),
    close: guarded.close
  }
}
