import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Log } from '@fleetgate/contracts'
import { type Crew, createCrew } from './crew.js'
import { type Claim, claim } from './process/claim.js'
import { type Identity, identify } from './process/identity.js'
import type { BackOff, ProcessState } from './process/supervise.js'
import { endLeftovers, removeRuntime, writeRuntime } from './runtimeFile.js'
import {
  checkBuilt,
  mainFile,
  preloadFile,
  replicaName,
  type StackService,
  serviceMember,
  stackServices
} from './services.js'
import { checkPorts, choosePorts, mqttUrlOf, type Places, serviceEnv, urlsOf } from './stackEnv.js'
import { stackParts } from './stackParts.js'

export interface StackOptions {
  /** Port of the gateway; a free one when not given. */
  port?: number
  mqttPort?: number
  /** Everything that lasts; one stack at a time. */
  dataDir: string
  /** On top of this process's environment, for every service; MONGODB_URI, NATS_URL and BROKER=emqx replace a part. */
  env?: NodeJS.ProcessEnv
  services?: readonly StackService[]
  /** Processes of each service, default 1; the gateway stays one, and broker-proxy with its embedded broker. */
  replicas?: number
  log?: Log
  /** Each line that a process writes. */
  onLine?: (name: string, line: string) => void
  /** Program of a service, for tests. */
  mainOf?: (service: StackService) => string
  backOff?: BackOff
  readyWithinMs?: number
}

export interface Stack {
  /** The gateway. */
  url: string
  mqttUrl: string
  natsUrl: string
  mongoUri: string
  dataDir: string
  /** Base URL of each service's first replica, past the gateway. */
  urls: Record<string, string>
  processes(): ProcessState[]
  /** Sends a signal to one process (`engine`, `nats`, a service, `devices-2`); whatever dies of it is started again. */
  kill(name: string, signal: NodeJS.Signals): void
  /** Resolves when every process serves. */
  ready(): Promise<void>
  /** Ends every process in order, each within `graceMs` (10 s). */
  stop(options?: { graceMs?: number }): Promise<void>
}

/** A stack that may be stopped before it has come up. */
export interface PreparedStack extends Stack {
  start(): Promise<void>
}

const stopGraceMs = 10_000

/** Starts everything and resolves when it serves. A start that fails leaves nothing running. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stack = await prepareStack(options)
  try {
    await stack.start()
    return stack
  } catch (error) {
    await stack.stop()
    throw error
  }
}

/** Takes the data folder, ends what a killed runtime left there and finds ports; starts nothing yet. */
export async function prepareStack(options: StackOptions): Promise<PreparedStack> {
  const { services = stackServices, mainOf = mainFile } = options
  const dataDir = resolve(options.dataDir)
  checkBuilt([...services.map(mainOf), preloadFile])
  const { release } = await takeDataDir(dataDir)
  try {
    return await prepareIn(dataDir, { ...options, services, mainOf }, release)
  } catch (error) {
    release()
    throw error
  }
}

/** Makes the folder ours, with nothing at work in it: what a killed runtime left is ended. `ClaimedError` where others have it. */
export async function takeDataDir(dataDir: string): Promise<Claim> {
  const held = await takeFolder(dataDir)
  try {
    await endLeftovers(dataDir)
    return held
  } catch (error) {
    held.release()
    throw error
  }
}

async function takeFolder(dataDir: string): Promise<Claim> {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    return await claim(dataDir)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === undefined) throw cause
    throw new Error(`${dataDir} cannot be the data folder (${message}): set DATA_DIR to a folder of your own`, {
      cause
    })
  }
}

type Chosen = StackOptions & Required<Pick<StackOptions, 'services' | 'mainOf'>>

async function prepareIn(dataDir: string, options: Chosen, release: () => void): Promise<PreparedStack> {
  const env = { ...process.env, ...options.env }
  const ports = await choosePorts(options, env)
  await checkPorts(ports, env)
  const { embedded, natsUrl, mongoUri } = await stackParts(dataDir, env, options.log)
  const places: Places = { dataDir, natsUrl, mongoUri, ports }
  const facts = {
    url: urlsOf(ports, 'gateway')[0] ?? '',
    mqttUrl: mqttUrlOf(ports, env),
    natsUrl,
    mongoUri,
    urls: Object.fromEntries(options.services.map((name) => [name, urlsOf(ports, name)[0] ?? '']))
  }
  const me = identify(process.pid) as Identity
  let isReady = false
  const record = () => writeRuntime(dataDir, { ...me, ...facts, isReady, processes: identities(crew) })
  const crew = createCrew({ ...options, onChange: record })
  const membersOf = (service: StackService) =>
    urlsOf(ports, service).map((url, index) => {
      const name = replicaName(service, index + 1)
      return serviceMember({
        name,
        file: options.mainOf(service),
        url,
        env: serviceEnv(service, index + 1, places, env)
      })
    })

  return {
    ...facts,
    dataDir,
    processes: crew.processes,
    kill: crew.kill,
    ready: crew.ready,
    start: async () => {
      crew.add(embedded)
      await crew.ready()
      crew.add(options.services.filter((name) => name !== 'gateway').flatMap(membersOf))
      // The gateway needs no service to start, so it does not wait for them; it is stopped before them.
      crew.add(options.services.filter((name) => name === 'gateway').flatMap(membersOf))
      await crew.ready()
      isReady = true
      record()
    },
    stop: async ({ graceMs = stopGraceMs } = {}) => {
      await crew.stop(graceMs)
      removeRuntime(dataDir)
      release()
    }
  }
}

function identities(crew: Crew): (Identity & { name: string })[] {
  return crew.processes().flatMap(({ name, pid }) => {
    const identity = pid === undefined ? undefined : identify(pid)
    return identity ? [{ name, ...identity }] : []
  })
}
