import { commonConfig, maxTokenAgeMs, oneOf, type Static, Type } from '@fleetgate/kit'

const day = 24 * 3600

export const Config = Type.Object({
  ...commonConfig,
  OAUTH_CLIENT_ID: Type.String({ minLength: 1, default: 'iab' }),
  OAUTH_CLIENT_SECRET: Type.String({ minLength: 1, default: 'milesight*iab' }),
  /** Seconds; older tokens are refused everywhere whatever they say. */
  ACCESS_TOKEN_TTL: Type.Integer({ minimum: 1, maximum: maxTokenAgeMs / 1000, default: day }),
  /** Seconds; each use starts it anew. */
  REFRESH_TOKEN_TTL: Type.Integer({ minimum: 1, default: day }),
  /** Seconds in which a repeat of the same refresh answers the same successor instead of counting as theft. */
  REFRESH_GRACE: Type.Integer({ minimum: 0, maximum: 60, default: 10 }),
  /** `first`: only the first user registers; `open`: anyone does, without a role. */
  REGISTRATION: oneOf(['first', 'open'], { default: 'first' }),
  PASSWORD_WORKERS: Type.Integer({ minimum: 1, maximum: 64, default: 2 }),
  /** Password checks that may wait for a worker; 64 of them are about two seconds of two workers. */
  PASSWORD_QUEUE: Type.Integer({ minimum: 1, default: 64 }),
  LOGIN_FREE_PER_ACCOUNT: Type.Integer({ minimum: 1, default: 10 }),
  LOGIN_FREE_PER_ADDRESS: Type.Integer({ minimum: 1, default: 100 }),
  /** Seconds: the longest wait that failed attempts can lead to. */
  LOGIN_MAX_WAIT: Type.Integer({ minimum: 1, default: 300 }),
  /** Days that records of changes are kept. */
  AUDIT_RETENTION_DAYS: Type.Integer({ minimum: 1, maximum: 36_500, default: 365 }),
  SERVICE_TOKENS_PER_USER: Type.Integer({ minimum: 1, maximum: 500, default: 50 })
})
export type Config = Static<typeof Config>
