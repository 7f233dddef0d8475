import { AppError, connectBus, listPublicKeys, listUserNames, loadConfig } from '@fleetgate/kit'
import { createApi, type Parts, quietLog, type TestGuardKeys } from '@fleetgate/testkit'
import { Config } from '../src/config.js'
import { startClusterManager } from '../src/start.js'

/** The part of a tap test that is needed here. */
export interface Test {
  teardown(close: () => unknown): unknown
}

/** Of its people auth has no names to tell at the moment. */
export const silentTenant = 'silent'

/** Answers for auth: its public keys are the test's. */
export async function serveKeys(t: Test, parts: Parts, { keys }: TestGuardKeys): Promise<void> {
  const bus = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  await bus.serve(listPublicKeys, async () => ({ keys }))
  await bus.serve(listUserNames, async ({ tenantId, ids }) => {
    if (tenantId === silentTenant) throw new AppError('unavailable', 'silent')
    return { users: ids.map((id) => ({ id, nickname: id, email: `${id}@example.com`, isDeleted: id === 'gone' })) }
  })
}

/** The service as main.ts starts it, replies checked. */
export async function startClusterManagerFor(t: Test, parts: Parts, env: NodeJS.ProcessEnv = {}) {
  const config = loadConfig(Config, {
    MONGODB_URI: parts.mongoUri,
    NATS_URL: parts.natsUrl,
    SECRETS_KEY_FILE: parts.keyFile,
    KEY_BITS: '2048',
    CHECK_REPLIES: 'true',
    ...env
  })
  const { port } = await startClusterManager({ config, log: quietLog, add: (_name, close) => t.teardown(close) })
  return createApi(`http://127.0.0.1:${port}`)
}

export interface Key {
  _id: string
  pubkeyValue: string
  name: string
  owner: string
  owner_deleted?: boolean
  user_id: string
  isuse: boolean
  tenant_id: string
  time_create: string
  time_update: string
}

export interface Reply<T> {
  success: boolean
  count?: number
  data: T
}

export interface Failure {
  success: boolean
  error: { code: string; message: string }
}
