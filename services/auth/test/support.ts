import { loadConfig } from '@fleetgate/kit'
import { type Api, createApi, type Parts, quietLog } from '@fleetgate/testkit'
import { Config } from '../src/config.js'
import { startAuth } from '../src/start.js'

/** The part of a tap test that is needed here. */
export interface Test {
  teardown(close: () => unknown): unknown
}

/** bcrypt's lowest: what is tested here seldom is bcrypt. */
const cheap = 4

/** The service as main.ts starts it, replies checked, without log-in limits and with cheap passwords unless asked for. */
export async function startAuthFor(
  t: Test,
  parts: Parts,
  env: NodeJS.ProcessEnv = {},
  passwords: 'cheap' | 'real' = 'cheap'
): Promise<Api> {
  const config = loadConfig(Config, {
    MONGODB_URI: parts.mongoUri,
    NATS_URL: parts.natsUrl,
    SECRETS_KEY_FILE: parts.keyFile,
    CHECK_REPLIES: 'true',
    LOGIN_FREE_PER_ACCOUNT: '10000',
    LOGIN_FREE_PER_ADDRESS: '10000',
    ...env
  })
  const cost = passwords === 'cheap' ? { passwordCost: cheap } : {}
  const { port } = await startAuth({ config, log: quietLog, add: (_name, close) => t.teardown(close), ...cost })
  return createApi(`http://127.0.0.1:${port}`)
}

export interface TokenFields {
  access_token: string
  refresh_token: string
  token_type: string
  expires_in: number
}

export interface Failure {
  status: string
  request_id: string
  error_code: string
  error_message: string
}

export const client = { client_id: 'iab', client_secret: 'milesight*iab' }

export function person(name: string) {
  return { email: `${name}@example.com`, nickname: name, password: `${name} has a long password` }
}

/** Both tokens of a person. */
export async function tokensOf(api: Api, name: string, password = person(name).password): Promise<TokenFields> {
  const form = { grant_type: 'password', username: person(name).email, password, ...client }
  const reply = await api.post<TokenFields>('/oauth2/token', new URLSearchParams(form))
  if (reply.status !== 200) throw new Error(`no token for ${name}: ${reply.status} ${reply.text}`)
  return reply.body
}

export function refresh(api: Api, token: string) {
  return api.post<TokenFields & Failure>('/oauth2/token', {
    grant_type: 'refresh_token',
    refresh_token: token,
    ...client
  })
}
