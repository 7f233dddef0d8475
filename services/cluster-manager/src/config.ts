import { commonConfig, type Static, Type } from '@fleetgate/kit'

export const Config = Type.Object({
  ...commonConfig,
  /** Bits of a generated RSA key pair. */
  KEY_BITS: Type.Integer({ minimum: 2048, maximum: 8192, default: 3072 })
})
export type Config = Static<typeof Config>
