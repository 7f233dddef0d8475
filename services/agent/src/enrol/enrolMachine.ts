import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { decodeText } from '../decodeText.js'
import { usualPaths } from '../platform/usualPaths.js'
import { type Admission, askFleet } from './askFleet.js'
import { type ConfigFile, readConfigFile, writePrivately } from './configFile.js'

/** The options of the command, as they were given. */
export interface EnrolOptions {
  config: string
  url?: unknown
  token?: unknown
  'token-file'?: unknown
  'client-id'?: unknown
  role?: unknown
  ca?: unknown
  'state-dir'?: unknown
  root?: unknown
  program?: unknown
  wait?: unknown
}

/**
 * Exchanges a token for what the machine needs to connect, and writes that into the configuration, beside what stands
 * there. May be repeated: until the file is written nothing has changed here, and the fleet answers a repeat the same.
 */
export async function enrolMachine(options: EnrolOptions): Promise<number> {
  const path = resolve(options.config)
  const before = await readConfigFile(path)
  const url = addressOf(options.url ?? before.FLEET_URL)
  const caFile = text(options.ca) ?? text(before.FLEET_CA_FILE)
  const clientId = text(options['client-id']) ?? text(before.CLIENT_ID) ?? hostname()
  const admission = await askFleet({
    url,
    ca: caFile === undefined ? undefined : readFileSync(caFile),
    body: { token: tokenOf(options), clientId, role: text(options.role) },
    waitMs: secondsOf(options.wait) * 1000,
    say: (line) => console.error(line)
  })
  await mkdir(dirname(path), { recursive: true })
  const brokerCa = await keepCa(dirname(path), admission.caPem)
  const fleet = { FLEET_URL: url, ...(caFile && { FLEET_CA_FILE: resolve(caFile) }) }
  const after = { ...before, ...fleet, ...identityOf(admission, brokerCa), ...foldersOf(options, before) }
  await writePrivately(path, `${JSON.stringify(after, null, 2)}\n`)
  console.log(`${admission.clientId} is enrolled as ${admission.role}; its configuration is in ${path}`)
  return 0
}

function identityOf(
  { mqttUrl, username, password, clientId, role }: Admission,
  brokerCa: string | undefined
): ConfigFile {
  const identity = { MQTT_URL: mqttUrl, MQTT_USERNAME: username, MQTT_PASSWORD: password, CLIENT_ID: clientId }
  return { ...identity, ROLE: role, ...(brokerCa && { MQTT_CA_FILE: brokerCa }) }
}

function foldersOf(options: EnrolOptions, before: ConfigFile): ConfigFile {
  const given = {
    STATE_DIR: options['state-dir'] ?? before.STATE_DIR ?? usualPaths().state,
    ROOTS: options.root ?? before.ROOTS,
    PROGRAMS: options.program ?? before.PROGRAMS
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

async function keepCa(folder: string, pem: string | undefined): Promise<string | undefined> {
  if (pem === undefined) return undefined
  const path = join(folder, 'broker-ca.pem')
  await writePrivately(path, pem)
  return path
}

function tokenOf({ token, 'token-file': file }: EnrolOptions): string {
  const from = text(file)
  const given = from === undefined ? text(token) : decodeText(readFileSync(from === '-' ? 0 : from)).trim()
  if (!given) throw new Error('enrol needs --token or --token-file')
  return given
}

function addressOf(given: unknown): string {
  const url = text(given)
  if (url === undefined) throw new Error('enrol needs --url, the address of the fleet')
  if (/^https?:\/\//.test(url) && URL.canParse(url)) return new URL(url).origin
  throw new Error(`--url must be http(s)://host[:port], not ${url}`)
}

function secondsOf(given: unknown): number {
  const seconds = Number(text(given) ?? '60')
  if (seconds >= 0) return seconds
  throw new Error('--wait must be a number of seconds')
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
