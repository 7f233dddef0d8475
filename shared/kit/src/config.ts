import { readFileSync } from 'node:fs'
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
  CHECK_REPLIES: Type.Boolean({ default: false }),
  /** How long a process that was told to end goes on serving, so that balancers in front of it turn away first. */
  DRAIN_MS: Type.Integer({ minimum: 0, maximum: 5000, default: 0 })
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
 * names every bad key. Values are never printed: they may be secrets. Any setting may stand in a file that `<NAME>_FILE`
 * names, as orchestrators hand out secrets.
 */
export function loadConfig<P extends TProperties>(schema: TObject<P>, env: NodeJS.ProcessEnv): Static<TObject<P>> {
  const settings: TProperties = schema.properties
  const readOne = (key: string) => givenValue(key, env, settings)
  try {
    const given = Object.keys(settings).map(readOne)
    return compile(schema, { coerce: true })(Object.assign({}, ...given))
  } catch {
    // The whole names its first problem only; each setting by itself would take longer at every start.
    const problems = Object.keys(settings).flatMap((key) => problemOf(key, settings, readOne) ?? [])
    throw new AppError('invalid_input', `bad configuration: ${problems.join('; ')}`)
  }
}

function problemOf(
  key: string,
  settings: TProperties,
  readOne: (key: string) => Record<string, string>
): string | undefined {
  try {
    compile(Type.Object({ [key]: settings[key] as TSchema }), { coerce: true })(readOne(key))
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** The setting as the environment has it; nothing where it has none. */
function givenValue(key: string, env: NodeJS.ProcessEnv, settings: TProperties): Record<string, string> {
  const value = env[key] || fromFile(key, env, settings)
  return value ? { [key]: toWord(settings[key] as TSchema, value) } : {}
}

function fromFile(key: string, env: NodeJS.ProcessEnv, properties: TProperties): string | undefined {
  const name = `${key}_FILE`
  const file = env[name]
  // Some settings are files themselves; who reads those says how.
  if (!file || name in properties) return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (cause) {
    throw new AppError('invalid_input', `${name} names a file that cannot be read`, { field: name }, { cause })
  }
}

/** Ajv coerces the words true and false only; people also write 1 and 0. */
function toWord(property: TSchema, value: string): string {
  if (property.type !== 'boolean') return value
  return value === '1' ? 'true' : value === '0' ? 'false' : value
}
