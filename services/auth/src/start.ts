import { type Bus, changeRecorded, connectBus, createGuard, type Log } from '@fleetgate/kit'
import { createSecrets, loadKeyRing, openStore, type Secrets, type Store, startResealing } from '@fleetgate/store'
import { createAccessKeys } from './accessKeys/accessKeys.js'
import { watchKeyChanges } from './accessKeys/watchKeyChanges.js'
import { createAuthApp } from './app.js'
import { createAttemptStore } from './attempts/attemptStore.js'
import { createAttempts } from './attempts/attempts.js'
import { createAudit } from './audit/audit.js'
import { createAuditStore } from './audit/auditStore.js'
import type { Config } from './config.js'
import { createDirectory } from './directory.js'
import { createKeyStore } from './keys/keyStore.js'
import { openSigningKeys, reloadEveryMs, type SigningKeys } from './keys/signingKeys.js'
import { createMenuStore } from './menus/menuStore.js'
import { createPasswordChange } from './passwords/passwordChange.js'
import { createPasswordPool, type PasswordPool } from './passwords/passwordPool.js'
import { createPeople } from './people/people.js'
import { servePeople } from './people/rpc.js'
import { createRoleStore } from './roles/roleStore.js'
import { serveGrants } from './roles/rpc.js'
import { onUserRevoked } from './serviceTokens/onUserRevoked.js'
import { createServiceTokenStore } from './serviceTokens/serviceTokenStore.js'
import { createServiceTokens } from './serviceTokens/serviceTokens.js'
import { createLogin } from './tokens/login.js'
import { serveIdentity } from './tokens/rpc.js'
import { createSessionStore } from './tokens/sessionStore.js'
import { createTokens } from './tokens/tokens.js'
import { createFormerUserStore } from './users/formerUserStore.js'
import { createRegistration } from './users/registration.js'
import { serveUserNames } from './users/rpc.js'
import { toCallerData } from './users/user.js'
import { createNamesOf } from './users/userNames.js'
import { createUserStore } from './users/userStore.js'
import { createUsers } from './users/users.js'

/** Attempts are forgotten when none came for this long. */
const attemptWindowMs = 15 * 60_000
const purgeEveryMs = 10 * 60_000
const dayMs = 24 * 3_600_000

export interface StartOptions {
  config: Config
  log: Log
  /** Takes what must be closed at the end, in reverse order. */
  add: (name: string, close: () => Promise<unknown> | unknown) => void
  passwordCost?: number
}

/** Connects, wires and listens. */
export async function startAuth({ config, log, add, passwordCost }: StartOptions): Promise<{ port: number }> {
  const store = await openStore({ uri: config.MONGODB_URI, database: 'fleetgate_auth', log })
  add('store', () => store.close())
  const bus = await connectBus({ name: 'auth', url: config.NATS_URL, log })
  add('bus', () => bus.close())
  const { PASSWORD_WORKERS: workers, PASSWORD_QUEUE: queue } = config
  const passwords = createPasswordPool({ workers, queue, log, cost: passwordCost })
  add('passwords', () => passwords.close())

  const stores = await openStores({ config, store, bus, log, add })
  const secrets = createSecrets({ keys: keyRingOf(config) })
  const resealing = startResealing({ secrets, places: store.sealedPlaces, log })
  add('resealing', () => resealing.stop())
  const keys = await openKeys({ config, stores, log, add, secrets })
  const identity = createIdentity({ config, log, passwords, stores, keys, secrets })
  const directory = createDirectory({ ...stores, audit: identity.audit, passwords, bus, log, now: Date.now })
  const guard = await createGuard({
    bus,
    log,
    keys: async () => {
      await keys.reload()
      return keys.publicKeys
    },
    roles: directory.grants.listRoleCodes,
    verifyBasic: async (question) => toCallerData(await identity.login(question)),
    verifyServiceToken: identity.serviceTokens.verify,
    verifySignature: identity.accessKeys.verify
  })
  add('guard', () => guard.close())
  const answering = [
    ...(await serveIdentity(bus, { ...identity, keys })),
    ...(await servePeople(bus, identity)),
    await serveUserNames(bus, stores.namesOf),
    await onUserRevoked(bus, stores.serviceTokens),
    ...(await watchKeyChanges(bus, identity.accessKeys)),
    await bus.consume(changeRecorded, { durable: 'auth-audit' }, (batch) =>
      stores.audit.merge(batch.map(({ data }) => data))
    )
  ]
  for (const subscription of answering) add('rpc', () => subscription.stop())

  for (const answering of await serveGrants(bus, directory.grants)) add('grants', () => answering.stop())

  const app = createAuthApp({
    log,
    guard,
    keys,
    directory,
    ...identity,
    client: { id: config.OAUTH_CLIENT_ID, secret: config.OAUTH_CLIENT_SECRET },
    checks: { mongodb: () => store.ready(), nats: () => bus.isReady() },
    checkReplies: config.CHECK_REPLIES
  })
  const listening = await app.listen(config.PORT, config.HOST)
  add('http', () => listening.close(config.DRAIN_MS))
  return { port: listening.port }
}

function keyRingOf(config: Config) {
  return loadKeyRing({ file: config.SECRETS_KEY_FILE, value: config.SECRETS_KEY })
}

type Stores = Awaited<ReturnType<typeof openStores>>

async function openStores({ config, store, bus, log, add }: StartOptions & { store: Store; bus: Bus }) {
  const former = createFormerUserStore(store)
  const users = createUserStore({ store, bus, log, now: Date.now, former })
  const namesOf = createNamesOf(users, former)
  const roles = createRoleStore({ store, bus, log, now: Date.now })
  const menus = createMenuStore(store)
  const sessions = createSessionStore(store)
  const attempts = createAttemptStore(store)
  const keys = createKeyStore(store)
  const audit = createAuditStore(store)
  const serviceTokens = createServiceTokenStore({ store, bus, log })
  await store.sync()
  users.outbox.start()
  add('outbox', () => users.outbox.stop())
  serviceTokens.outbox.start()
  add('outbox of service tokens', () => serviceTokens.outbox.stop())
  roles.outbox.start()
  add('role outbox', () => roles.outbox.stop())
  const purge = setInterval(() => {
    Promise.all([
      users.purge(),
      roles.purge(),
      sessions.purge(Date.now()),
      attempts.purge(Date.now()),
      serviceTokens.purge(Date.now()),
      audit.purge(Date.now() - config.AUDIT_RETENTION_DAYS * dayMs)
    ]).catch((err) => log.warn({ err }, 'what is old was not removed, trying again later'))
  }, purgeEveryMs)
  add('purge', () => clearInterval(purge))
  return { users, namesOf, roles, menus, sessions, attempts, keys, audit, serviceTokens }
}

type KeyParts = StartOptions & { stores: Stores; secrets: Secrets }

async function openKeys({ config, stores, log, add, secrets }: KeyParts): Promise<SigningKeys> {
  const lifetime = config.ACCESS_TOKEN_TTL
  const keys = await openSigningKeys({ store: stores.keys, secrets, lifetime, now: Date.now })
  const reload = setInterval(() => {
    keys.reload().catch((err) => log.warn({ err }, 'signing keys not read, trying again'))
  }, reloadEveryMs)
  add('keys', () => clearInterval(reload))
  return keys
}

interface IdentityParts {
  config: Config
  log: Log
  passwords: PasswordPool
  stores: Stores
  keys: SigningKeys
  secrets: Secrets
}

function createIdentity({ config, log, passwords, stores, keys, secrets }: IdentityParts) {
  const now = Date.now
  const rule = { maxWaitMs: config.LOGIN_MAX_WAIT * 1000, windowMs: attemptWindowMs }
  const limits = {
    account: { ...rule, free: config.LOGIN_FREE_PER_ACCOUNT },
    address: { ...rule, free: config.LOGIN_FREE_PER_ADDRESS }
  }
  const attempts = createAttempts({ store: stores.attempts, limits, now })
  const login = createLogin({ users: stores.users, passwords, attempts, decoyHash: passwords.decoy() })
  const isOpen = config.REGISTRATION === 'open'
  const registration = createRegistration({ users: stores.users, passwords, attempts, isOpen, now })
  const lifetimes = {
    access: config.ACCESS_TOKEN_TTL,
    refresh: config.REFRESH_TOKEN_TTL,
    grace: config.REFRESH_GRACE
  }
  const { users } = stores
  const changePassword = createPasswordChange({ users, passwords, attempts })
  const findOwner = async (tenantId: string, userId: string) => {
    const user = await users.find(tenantId, userId)
    return user?.isEnabled ? toCallerData(user) : undefined
  }
  const programs = { store: stores.serviceTokens, findOwner, limit: config.SERVICE_TOKENS_PER_USER, now, log }
  const audit = createAudit({ store: stores.audit, namesOf: stores.namesOf, now, log })
  return {
    login,
    registration,
    audit,
    people: createPeople({ users, registration, changePassword }),
    serviceTokens: createServiceTokens(programs),
    accessKeys: createAccessKeys({ ...programs, secrets }),
    users: createUsers({ users, registration, changePassword }),
    tokens: createTokens({ login, users: stores.users, sessions: stores.sessions, keys, audit, lifetimes, now, log })
  }
}
