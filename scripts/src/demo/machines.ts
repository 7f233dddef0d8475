import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Session, until } from '@fleetgate/testkit'
import type { Account } from './account.js'
import { get, type Page, put } from './client.js'

/** One machine of the fleet: a process of its own with its own folders. */
export interface Machine {
  name: string
  role: 'SERVER' | 'STORE'
  root: string
  /** Its number in the scheduler. */
  clientId: number
  /** Rejects if the agent ends by itself, which it never should. */
  readonly failure: Promise<never>
  pid(): number | undefined
  start(): void
  kill(): void
  stop(): Promise<void>
}

export interface MachinePlan {
  name: string
  role: Machine['role']
  folder: string
  mqttUrl: string
  /** The compiled one unless another is named. */
  agent?: AgentProgram | undefined
}

export interface AgentProgram {
  /** What Node is told, the program's file last. */
  args: readonly string[]
  env: NodeJS.ProcessEnv
}

const agentMain = fileURLToPath(new URL('../../../../services/agent/dist/src/main.js', import.meta.url))

/** Creates an MQTT user with these rights (fields of DMS), or gives the one that is there a new password and them. */
export async function createMqttUser(
  { session, tenantId }: Account,
  name: string,
  rights: { default_topic_perm?: 'PUB|SUB'; topic_perms?: { name: string; perm: 'PUB|SUB' }[] } = {}
): Promise<string> {
  const secret = `Aa1_${randomBytes(12).toString('base64url')}`
  const users = `/v2/${tenantId}/instances/default/users`
  const made = await session.post(users, { access_key: name, secret_key: secret, ...rights })
  if (made.status < 300) return secret
  const known = await session.get(`${users}/${name}`)
  if (known.status !== 200) throw new Error(`MQTT user ${name} cannot be created: HTTP ${made.status} ${made.text}`)
  await put(session, `${users}/${name}`, { secret_key: secret, ...rights })
  return secret
}

export async function createMachine(account: Account, plan: MachinePlan): Promise<Machine> {
  const { name, role, folder, mqttUrl, agent = { args: [agentMain], env: {} } } = plan
  const root = join(folder, 'root')
  refuseSecond(name, join(folder, 'state'))
  mkdirSync(join(root, 'bin'), { recursive: true })
  const env = {
    ...agent.env,
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    MQTT_URL: mqttUrl,
    MQTT_USERNAME: name,
    MQTT_PASSWORD: await createMqttUser(account, name),
    CLIENT_ID: name,
    ROLE: role,
    STATE_DIR: join(folder, 'state'),
    ROOTS: JSON.stringify([root]),
    PROGRAMS: JSON.stringify([join(root, 'bin')])
  }
  const log = join(folder, 'agent.log')
  let child: ChildProcess | undefined
  let fail = (_error: Error) => {}
  const failure = new Promise<never>((_, reject) => {
    fail = reject
  })
  failure.catch(() => undefined)
  return {
    name,
    role,
    root,
    clientId: 0,
    failure,
    pid: () => child?.pid,
    start: () => {
      child = launch(agent.args, { env, log, fail })
    },
    kill: () => void child?.kill('SIGKILL'),
    stop: () => end(child)
  }
}

/** Before its MQTT user gets a new password: that would cut off the machine that runs. */
function refuseSecond(name: string, state: string): void {
  const locks = existsSync(state) ? readdirSync(state).filter((file) => file.startsWith('agent.lock')) : []
  for (const lock of locks) {
    const [, pid] = /"pid":(\d+)/.exec(readFileSync(join(state, lock), 'utf8')) ?? []
    const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : ''
    if (command.includes(agentMain))
      throw new Error(`${name} of another demo still runs as process ${pid}: stop that demo first`)
  }
}

interface Launch {
  env: NodeJS.ProcessEnv
  log: string
  fail(error: Error): void
}

function launch(args: readonly string[], { env, log, fail }: Launch): ChildProcess {
  const out = openSync(log, 'a')
  const child = spawn(process.execPath, [...args], { env, stdio: ['ignore', out, out] })
  closeSync(out)
  child.once('exit', (code) => {
    if (code)
      fail(new Error(`the agent ${env.CLIENT_ID} ended: ${readFileSync(log, 'utf8').trimEnd().split('\n').at(-1)}`))
  })
  return child
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

interface ClientRow {
  clientId: number
  mqttClientId: string
  status: string
  role: string
  enabled: boolean
}

/** Waits until the scheduler knows all machines, online and in their roles, and notes their numbers. */
export async function waitOnline(session: Session, machines: Machine[]): Promise<void> {
  const look = async () => {
    const { list } = await get<Page<ClientRow>>(session, '/v1/clients?pageNo=1&pageSize=500&mqttClientIdContain=demo-')
    return machines.every((machine) => {
      const row = list.find(({ mqttClientId }) => mqttClientId === machine.name)
      machine.clientId = row?.clientId ?? 0
      return row?.status === 'ONLINE' && row.role === machine.role
    })
  }
  const online = until(look, { what: 'all machines to be online', deadlineMs: 60_000, everyMs: 200 })
  await Promise.race([online, ...machines.map(({ failure }) => failure)])
}
