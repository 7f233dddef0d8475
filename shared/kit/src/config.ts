import { AppError, compile, oneOf, type Static, type TSchema, Type } from '@fleetgate/contracts'
import type { TObject, TProperties } from '@sinclair/typebox'
import { logLevels } from './log.js'

/** Settings of every process: spread into the service's `Type.Object`. */
export const baseConfig = {
  HOST: Type.String({ default: '127.0.0.1' }),
  /** 0 takes a free one. */
  PORT: Type.Integer({ minimum: 0, maximum: 65535, default: 0 }),
  NATS_URL: Type.String({ default: 'nats://127.0.0.1:4222' }),
  LOG_LEVEL: oneOf(logLevels, { default: 'info' }),
  /** Checks every reply against its schema: for tests. */
  CHECK_REPLIES: Type.Boolean({ default: false })
}

/** The same for a service with documents of its own. */
export const commonConfig = {
  ...baseConfig,
  MONGODB_URI: Type.String({ minLength: 1 }),
  SECRETS_KEY_FILE: Type.Optional(Type.String()),
  SECRETS_KEY: Type.Optional(Type.String())
}

/**
 * Reads the environment. Text is coerced to the types of the schema, an empty value counts as absent, and one error
 * names every bad key. Values are never printed: they may be secrets.
 */
export function loadConfig<P extends TProperties>(schema: TObject<P>, env: NodeJS.ProcessEnv): Static<TObject<P>> {
  const config: Record<string, unknown> = {}
  const problems: string[] = []
  for (const [key, property] of Object.entries<TSchema>(schema.properties)) {
    const check = compile(Type.Object({ [key]: property }), { coerce: true })
    const value = env[key]
    try {
      Object.assign(config, check(value ? { [key]: toWord(property, value) } : {}))
    } catch (error) {
      problems.push((error as Error).message)
    }
  }
  if (problems.length > 0) throw new AppError('invalid_input', `bad configuration: ${problems.join('; ')}`)
  return config as Static<TObject<P>>
}

/** Ajv coerces the words true and false only; people also write 1 and 0. */
function toWord(property: TSchema, value: string): string {
  if (property.type !== 'boolean') return value
  return value === '1' ? 'true' : value === '0' ? 'false' : value
}
