import type { Parts, Teardown } from '@fleetgate/testkit'
import { startOnEmqx, startOnStandIn } from './emqx/support.js'
import { type Keys, type Running, startProxy } from './support.js'

/** A broker to try what all of them must do. */
export interface Stage {
  name: string
  start(t: Teardown, parts: Parts, keys: Keys): Promise<Running>
}

const limits = { MQTT_FAILED_LOGINS_PER_MINUTE: '200', CAST_GATHER_MS: '500' }

/** `emqx` is a real EMQX where one is named. */
export const stages: Stage[] = [
  { name: 'embedded', start: (t, parts, keys) => startProxy(t, parts, keys, limits) },
  { name: 'emqx', start: (t, parts, keys) => startOnEmqx(t, { parts, keys, env: limits }) },
  {
    name: 'emqx_mounted',
    start: (t, parts, keys) => startOnStandIn(t, { parts, keys, env: { ...limits, EMQX_MOUNTPOINT: 'tenant' } })
  }
]

/** The oldest version, which knows less: log-ins without rules, pages of at most 1000, no listener of a client. */
export const oldestEmqx: Stage = {
  name: 'emqx_5_0',
  start: (t, parts, keys) => startOnStandIn(t, { parts, keys, env: limits, version: 5 })
}
