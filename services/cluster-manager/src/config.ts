import { commonConfig, type Static, Type } from '@fleetgate/kit'

export const Config = Type.Object({
  ...commonConfig,
  /** Bits of a generated RSA key pair. */
  KEY_BITS: Type.Integer({ minimum: 2048, maximum: 8192, default: 3072 }),
  /** How long one attempt to send a mail may take. */
  MAIL_TIMEOUT_MS: Type.Integer({ minimum: 100, default: 30_000 }),
  /** Before the second attempt; each further wait is twice as long, an hour at most. */
  MAIL_RETRY_MS: Type.Integer({ minimum: 10, default: 30_000 }),
  MAIL_MAX_ATTEMPTS: Type.Integer({ minimum: 1, maximum: 100, default: 15 }),
  /** A mail that waits for longer is given up, whatever it waits for. */
  MAIL_GIVE_UP_HOURS: Type.Number({ exclusiveMinimum: 0, default: 168 }),
  /** Days for which a mail is listed, and its messageId known, after its end. */
  MAIL_KEEP_DAYS: Type.Number({ exclusiveMinimum: 0, maximum: 3650, default: 30 }),
  MAIL_SWEEP_MS: Type.Integer({ minimum: 10, default: 1_000 })
})
export type Config = Static<typeof Config>
