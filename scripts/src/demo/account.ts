import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Api, createApi, type Session } from '@fleetgate/testkit'
import { get, post } from './client.js'
import type { DemoOptions } from './options.js'

export interface Account {
  session: Session
  tenantId: string
}

export interface LoggedIn extends Account {
  /** For what takes no session, such as a websocket. */
  token: string
}

interface Credentials {
  email: string
  password: string
}

const email = 'demo@fleetgate.local'

type LoginOptions = Pick<DemoOptions, 'dataDir' | 'email' | 'password' | 'say'>

/** Logs in as the demo's user, who is registered where no user exists; its password is kept in DATA_DIR/demo.json. */
export async function logIn(url: string, options: LoginOptions): Promise<LoggedIn> {
  const api = createApi(url)
  const { email: name, password } = await credentials(api, options)
  const token = await api.login(name, password)
  const session = api.as(token)
  const me = await get<{ data: { tenant_id: string } }>(session, '/user')
  options.say(`Logged in as ${name}`)
  return { session, tenantId: me.data.tenant_id, token }
}

async function credentials(api: Api, options: LoginOptions): Promise<Credentials> {
  const file = join(options.dataDir, 'demo.json')
  const status = await get<{ data: { init: boolean } }>(api, '/user/status')
  if (!status.data.init) return register(api, file, options)
  if (options.email && options.password) return { email: options.email, password: options.password }
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Credentials
  throw new Error(`users exist already and ${file} does not: set EMAIL and PASSWORD to those of a super admin`)
}

async function register(api: Api, file: string, { say, dataDir }: LoginOptions): Promise<Credentials> {
  const account = { email, password: `Demo-${randomBytes(12).toString('base64url')}` }
  mkdirSync(dataDir, { recursive: true })
  // Before the registration: a password that nobody knows would lock everybody out.
  writeFileSync(file, `${JSON.stringify(account, null, 2)}\n`, { mode: 0o600 })
  await post(api, '/user/register', { ...account, nickname: 'demo' })
  say(`Registered the first user ${email}; the password is in ${file}`)
  return account
}
