import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { delimiter, isAbsolute, resolve } from 'node:path'
import { AppError, compile, oneOf, type Role, recordOf, roles, type Static, Type } from '@fleetgate/contracts/fleet'
import { decodeText } from './decodeText.js'
import { oddWindowsRoot } from './platform/windowsPaths.js'

const PathList = Type.Array(Type.String({ minLength: 1 }))

const Config = Type.Object({
  MQTT_URL: Type.String({ default: 'mqtt://127.0.0.1:1883', pattern: '^(mqtts?|wss?|tcp|ssl)://' }),
  MQTT_USERNAME: Type.Optional(Type.String()),
  MQTT_PASSWORD: Type.Optional(Type.String()),
  MQTT_PASSWORD_FILE: Type.Optional(Type.String()),
  MQTT_CA_FILE: Type.Optional(Type.String()),
  CLIENT_ID: Type.String({ minLength: 1, maxLength: 256, pattern: '^[^+#/\\u0000]+$' }),
  ROLE: oneOf(roles, { default: 'STORE' }),
  STATE_DIR: Type.String({ minLength: 1 }),
  ROOTS: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
  PROGRAMS: PathList,
  PROGRAM_TIMEOUT: Type.Number({ default: 3600, exclusiveMinimum: 0 }),
  CONCURRENCY: Type.Integer({ default: 1, minimum: 1, maximum: 64 }),
  ATTRIBUTES: recordOf(Type.String()),
  FLEET_URL: Type.Optional(Type.String({ pattern: '^https?://' })),
  FLEET_CA_FILE: Type.Optional(Type.String()),
  HEARTBEAT_FILE: Type.Optional(Type.String()),
  LOG_FILE: Type.Optional(Type.String()),
  LOG_MAX_BYTES: Type.Integer({ default: 10 * 1024 * 1024, minimum: 4096 }),
  LOG_KEEP: Type.Integer({ default: 5, minimum: 0, maximum: 1000 }),
  LOG_LEVEL: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { default: 'info' })
})

export interface AgentConfig {
  mqtt: {
    url: string
    username?: string | undefined
    /** Read anew for each connection: files are replaced while the agent runs. */
    secrets(): { password?: string | undefined; ca?: Buffer | undefined }
    /** Where the password stands, if it is in a file. */
    passwordFile?: string | undefined
  }
  clientId: string
  role: Role
  stateDir: string
  roots: string[]
  /** Programs or folders of programs that EXECUTE_FILE may run. */
  programs: string[]
  /** Milliseconds a program may run if its step names no timeout. */
  programTimeoutMs: number
  /** Executions that run at the same time. */
  concurrency: number
  /** The operator's own attributes of this machine, for query groups. */
  attributes: Record<string, string>
  /** Written again and again while the machine is connected. */
  heartbeatFile?: string | undefined
  logLevel: string
  /** Where the log goes; standard output where it is absent. */
  logFile?: { path: string; maxBytes: number; keep: number } | undefined
  /** The fleet's gateway, for the self-test, and its certificate authority. */
  fleetUrl?: string | undefined
  fleetCa?: Buffer | undefined
}

const check = compile(Config, { coerce: true })

/** Reads the environment over the JSON file, if one is named; throws one error that names the bad key. */
export function loadConfig(env: NodeJS.ProcessEnv, file: string | undefined = env.CONFIG_FILE): AgentConfig {
  const names = Object.keys(Config.properties)
  const own = Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
  const given: Record<string, unknown> = { CLIENT_ID: hostname(), ...(file ? readJson(file) : {}), ...own }
  const config = check({
    ...given,
    ROOTS: toList('ROOTS', given.ROOTS),
    PROGRAMS: toList('PROGRAMS', given.PROGRAMS),
    ATTRIBUTES:
      typeof given.ATTRIBUTES === 'string' ? parseJson('ATTRIBUTES', given.ATTRIBUTES) : (given.ATTRIBUTES ?? {})
  })
  const passwordFile = own.MQTT_PASSWORD ? undefined : config.MQTT_PASSWORD ? file : config.MQTT_PASSWORD_FILE
  return toConfig(config, passwordFile)
}

function toConfig(config: Static<typeof Config>, passwordFile: string | undefined): AgentConfig {
  return {
    mqtt: { url: config.MQTT_URL, username: config.MQTT_USERNAME, secrets: secretsOf(config), passwordFile },
    clientId: config.CLIENT_ID,
    role: config.ROLE,
    stateDir: resolve(config.STATE_DIR),
    roots: config.ROOTS.map((path) => absolute('ROOTS', path)),
    programs: config.PROGRAMS.map((path) => absolute('PROGRAMS', path)),
    programTimeoutMs: config.PROGRAM_TIMEOUT * 1000,
    concurrency: config.CONCURRENCY,
    attributes: config.ATTRIBUTES,
    heartbeatFile: config.HEARTBEAT_FILE && resolve(config.HEARTBEAT_FILE),
    logLevel: config.LOG_LEVEL,
    logFile: config.LOG_FILE
      ? { path: resolve(config.LOG_FILE), maxBytes: config.LOG_MAX_BYTES, keep: config.LOG_KEEP }
      : undefined,
    fleetUrl: config.FLEET_URL,
    fleetCa: config.FLEET_CA_FILE ? readFileSync(config.FLEET_CA_FILE) : undefined
  }
}

/** Throws at once where a file cannot be read; later what was read last has to do, until it can be again. */
function secretsOf(config: Static<typeof Config>): AgentConfig['mqtt']['secrets'] {
  const { MQTT_PASSWORD: password, MQTT_PASSWORD_FILE: passwordFile, MQTT_CA_FILE: caFile } = config
  const read = () => ({
    password: password ?? (passwordFile ? readText(passwordFile).trim() : undefined),
    ca: caFile ? readFileSync(caFile) : undefined
  })
  let last = read()
  return () => {
    try {
      last = read()
    } catch {
      // It is being replaced, perhaps.
    }
    return last
  }
}

/** A JSON array, or a list with `:` between the paths as PATH has it. */
function toList(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value ?? []
  if (value.trimStart().startsWith('[')) return parseJson(name, value)
  return value.split(delimiter).filter((path) => path !== '')
}

function absolute(name: string, path: string): string {
  if (!isAbsolute(path)) throw new AppError('invalid_input', `${name} must hold absolute paths, not ${path}`)
  const reason = process.platform === 'win32' ? oddWindowsRoot(path) : undefined
  if (reason) throw new AppError('invalid_input', `${name}: ${path} ${reason}`)
  return resolve(path)
}

function readJson(file: string): Record<string, unknown> {
  const value = parseJson(file, readText(file))
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new AppError('invalid_input', `${file} must hold one JSON object`)
}

function readText(file: string): string {
  return decodeText(readFileSync(file))
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AppError('invalid_input', `${name} is not valid JSON`, {}, { cause })
  }
}
