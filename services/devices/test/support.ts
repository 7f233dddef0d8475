import { connectBus, listGrants, listPublicKeys, loadConfig } from '@fleetgate/kit'
import { createApi, type Parts, quietLog, type Session, type TestGuardKeys } from '@fleetgate/testkit'
import { Config } from '../src/config.js'
import { startDevices } from '../src/start.js'

/** The part of a tap test that is needed here. */
export interface Test {
  teardown(close: () => unknown): unknown
}

/** Answers for auth: its public keys are the test's, and everything is granted to everybody. */
export async function serveKeys(t: Test, parts: Parts, { keys }: TestGuardKeys): Promise<void> {
  const bus = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  await bus.serve(listPublicKeys, async () => ({ keys }))
  await bus.serve(listGrants, async () => ({ all: true, resources: [], roleIds: [] }))
}

/** The service as main.ts starts it, replies checked. */
export async function startDevicesFor(t: Test, parts: Parts, env: NodeJS.ProcessEnv = {}) {
  const config = loadConfig(Config, {
    MONGODB_URI: parts.mongoUri,
    NATS_URL: parts.natsUrl,
    CHECK_REPLIES: 'true',
    SECRETS_KEY_FILE: parts.keyFile,
    ...env
  })
  const { port } = await startDevices({ config, log: quietLog, add: (_name, close) => t.teardown(close) })
  return createApi(`http://127.0.0.1:${port}`)
}

export interface Listed {
  dashboard_id: string
  user_id: string
  user_nickname?: string
  user_email?: string
  user_deleted?: boolean
  name: string
  home: boolean
  widgets?: { widget_id: string; data: unknown; missing?: string[] }[]
  created_at: string
}

export interface Failure {
  status: string
  error_code: string
  error_message: string
}

export async function add(session: Session, name: string): Promise<string> {
  const reply = await session.post<{ data: { dashboard_id: string } }>('/dashboard', { name })
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.dashboard_id
}

export async function list(session: Session): Promise<Listed[]> {
  const reply = await session.get<{ data: Listed[] }>('/dashboard/dashboards')
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

export async function find(session: Session, id: string): Promise<Listed | undefined> {
  return (await list(session)).find(({ dashboard_id }) => dashboard_id === id)
}
