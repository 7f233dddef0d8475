import {
  type Actor,
  changePersonPassword,
  connectBus,
  createGuard,
  getPerson,
  listPeople,
  verifyBasic
} from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { createFormerUserStore } from '../src/users/formerUserStore.js'
import { createUserStore } from '../src/users/userStore.js'
import { client, type Failure, person, refresh, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
const bus = await connectBus({ name: 'elsewhere', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
/** As every other process has one. */
const guard = await createGuard({ bus, log: quietLog })
t.teardown(() => guard.close())

await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)

interface Me {
  user_id: string
  email: string
  status: string
}
type Body<T> = { data: T } & Failure

async function idOf(token: string): Promise<string> {
  return (await api.as(token).get<Body<Me>>('/user')).body.data.user_id
}

async function addMember(name: string) {
  const reply = await admin.post<Body<{ user_id: string }>>('/user/members', person(name))
  if (reply.status !== 200) throw new Error(reply.text)
  return { id: reply.body.data.user_id, tokens: await tokensOf(api, name) }
}

async function setStatus(id: string, status: unknown, who = admin) {
  return who.put<Failure>(`/user/members/${id}/status`, { status })
}

async function isGood(bearer: string): Promise<boolean> {
  return guard.verify({ bearer }, '').then(
    () => true,
    () => false
  )
}

/** It takes an event and no more; a guard that missed it would believe what it knows for 30 s at least. */
const soon = (is: () => Promise<boolean>, what: string) => until(is, { what, deadlineMs: 20_000 })

function logIn(name: string, password: string) {
  return api.post<Failure>('/oauth2/token', {
    grant_type: 'password',
    username: person(name).email,
    password,
    ...client
  })
}

await t.test('refuses a disabled user everywhere at once, and lets an enabled one in again', async (t) => {
  const { id, tokens } = await addMember('bob')
  const { email, password } = person('bob')
  t.ok(await isGood(tokens.access_token))
  t.match(await guard.basic(email, password, '10.0.0.1'), { userId: id })
  t.equal((await setStatus(id, 'DISABLED')).status, 200)
  await soon(async () => !(await isGood(tokens.access_token)), 'the access token to die')
  t.equal((await api.as(tokens.access_token).get('/user')).status, 401)
  t.equal((await refresh(api, tokens.refresh_token)).status, 401)
  await t.rejects(guard.basic(email, password, '10.0.0.1'), { code: 'unauthenticated' })
  await t.rejects(bus.request(verifyBasic, { username: email, password, address: '10.0.0.1' }), {
    code: 'bad_credentials'
  })
  t.equal((await api.post('/v1/user/login', { username: email, password })).status, 401)

  t.equal((await setStatus(id, 'DISABLED')).status, 200, 'twice is once')
  t.equal((await setStatus(id, 'ENABLED')).status, 200)
  const fresh = await tokensOf(api, 'bob')
  t.equal((await api.as(fresh.access_token).get<Body<Me>>('/user')).body.data.status, 'ENABLED')
  t.ok(await isGood(fresh.access_token))
  t.equal((await refresh(api, fresh.refresh_token)).status, 200)
  t.match(await guard.basic(email, password, '10.0.0.1'), { userId: id })
  t.notOk(await isGood(tokens.access_token), 'what was dead stays dead')
  t.equal((await refresh(api, tokens.refresh_token)).status, 401)
})

await t.test('answers the right password of a disabled user as a wrong one', async (t) => {
  const { id } = await addMember('carl')
  const wrong = await logIn('carl', 'not the password')
  await setStatus(id, 'DISABLED')
  const right = await logIn('carl', person('carl').password)
  t.equal(right.status, wrong.status)
  t.same({ ...right.body, request_id: '' }, { ...wrong.body, request_id: '' })
})

await t.test('lets service tokens rest while their person is disabled', async (t) => {
  const { id, tokens } = await addMember('dora')
  const { role_id } = (await admin.post<Body<{ role_id: string }>>('/user/roles', { name: 'viewers' })).body.data
  await admin.post(`/user/roles/${role_id}/associate-menu`, { menu_ids: ['10001'] })
  await admin.post(`/user/roles/${role_id}/associate-user`, { user_ids: [id] })
  const dora = api.as(tokens.access_token)
  const draft = { name: 'robot', codes: ['job.view'] }
  const made = await until(
    async () => {
      const { body } = await dora.post<Body<{ token: string } | undefined>>('/user/tokens', draft)
      return body.data
    },
    { what: 'the role to count' }
  )
  t.ok(await isGood(made.token))
  await setStatus(id, 'DISABLED')
  await soon(async () => !(await isGood(made.token)), 'the service token to be refused')
  t.equal((await api.as(made.token).get('/user')).status, 401)
  await setStatus(id, 'ENABLED')
  await soon(() => isGood(made.token), 'the service token to work again')
  t.same([...(await guard.verify({ bearer: made.token }, '')).codes], ['job.view'])
  t.equal((await api.as(made.token).get('/user')).status, 200)
})

await t.test('shows who is disabled, and records who did it', async (t) => {
  const { id } = await addMember('eve')
  const shown = async () => {
    const reply = await admin.post<Body<{ content: Me[] }>>('/user/members/search', { keyword: 'eve' })
    return reply.body.data.content.map(({ status }) => status)
  }
  t.same(await shown(), ['ENABLED'])
  await setStatus(id, 'DISABLED')
  t.same(await shown(), ['DISABLED'])
  await setStatus(id, 'ENABLED')
  t.same(await shown(), ['ENABLED'])
  const found = await admin.post<Body<{ content: { action: string }[] }>>('/user/audit/search', { target: id })
  t.same(
    found.body.data.content.map(({ action }) => action),
    ['user.enable', 'user.disable', 'user.create']
  )
})

await t.test(
  'is refused to others, for oneself, for unknown users, for those of other tenants and bad words',
  async (t) => {
    const { id, tokens } = await addMember('finn')
    const adminId = await idOf((await tokensOf(api, 'admin')).access_token)
    t.match(await setStatus(adminId, 'DISABLED', api.as(tokens.access_token)), { status: 403 })
    t.match(await setStatus(adminId, 'DISABLED'), { status: 403, body: { error_message: /yourself/ } })
    t.match(await setStatus('999', 'DISABLED'), { status: 404, body: { error_code: 'data_no_found' } })
    await admin.post('/user/tenants', { ...person('boss'), tenant_id: 'other', name: 'Other' })
    const boss = api.as((await tokensOf(api, 'boss')).access_token)
    t.match(await setStatus(id, 'DISABLED', boss), { status: 404 })
    for (const bad of [undefined, '', 'disabled', true, { $gt: '' }, ['DISABLED']]) {
      t.match(await setStatus(id, bad), { status: 400, body: { error_message: /status/ } }, JSON.stringify(bad))
    }
    t.equal((await setStatus('x', 'DISABLED')).status, 400)
    t.ok(await isGood(tokens.access_token), 'nothing happened')
  }
)

await t.test('is known to EMQ people, whose password cannot be changed with the old one meanwhile', async (t) => {
  const { id } = await addMember('gil')
  const { email, password } = person('gil')
  await setStatus(id, 'DISABLED')
  const tenantId = 'default'
  t.match((await bus.request(getPerson, { tenantId, username: email })).person, { id })
  const { people } = await bus.request(listPeople, { tenantId, after: '', limit: 500 })
  t.ok(people.some((one) => one.id === id))
  const actor: Actor = {
    tenantId,
    userId: '1',
    email: 'a@b.c',
    isSuperAdmin: true,
    address: '10.0.0.1',
    requestId: 'r'
  }
  const change = { actor, username: email, old: password, new: 'another password' }
  await t.rejects(bus.request(changePersonPassword, change), { code: 'bad_credentials' })
  await setStatus(id, 'ENABLED')
  t.ok(await tokensOf(api, 'gil'), 'the old password still holds')
})

await t.test('lets one of two super admins who disable each other over the API stay', async (t) => {
  for (const tenant of ['duel1', 'duel2', 'duel3']) {
    const names = [`${tenant}a`, `${tenant}b`] as const
    await admin.post('/user/tenants', { ...person(names[0]), tenant_id: tenant, name: tenant })
    const tokens = [(await tokensOf(api, names[0])).access_token]
    const first = api.as(tokens[0] ?? '')
    const added = await first.post<Body<{ user_id: string }>>('/user/members', person(names[1]))
    await first.post('/user/roles/1/associate-user', { user_ids: [added.body.data.user_id] })
    tokens.push((await tokensOf(api, names[1])).access_token)
    const ids = [await idOf(tokens[0] ?? ''), added.body.data.user_id]
    const replies = await Promise.all(
      tokens.map((token, i) => setStatus(ids[1 - i] ?? '', 'DISABLED', api.as(token)).then(({ status }) => status))
    )
    const passed = replies.filter((status) => status === 200)
    t.equal(passed.length, 1, `${tenant}: ${replies.join()}`)
    const left = await Promise.all(names.map(async (name) => (await logIn(name, person(name).password)).status))
    t.same(left.sort(), [200, 401])
  }
})

await t.test('keeps one of two super admins who disable, delete or demote each other at the same moment', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'administrators', log: quietLog })
  t.teardown(() => store.close())
  const former = createFormerUserStore(store)
  const users = createUserStore({ store, bus, log: quietLog, now: Date.now, former })
  await store.sync()
  const tenantId = 'default'
  const appoint = async (id: string): Promise<string> => {
    const rest = {
      passwordHash: '',
      codes: [],
      roleIds: [],
      rolesVersion: 0,
      version: 1,
      createdAt: 1,
      isEnabled: true
    }
    await users.insert({ id, tenantId, email: `${id}@example.com`, nickname: id, isSuperAdmin: true, ...rest })
    return id
  }

  type Attack = (id: string) => Promise<unknown>
  const disable: Attack = async (id) => {
    const user = await users.find(tenantId, id)
    if (user?.isEnabled && !(await users.disable(user))) await disable(id)
  }
  const remove: Attack = (id) => users.remove(tenantId, [id])
  const demote: Attack = (id) =>
    users.changeRoles(tenantId, [id], (user) => (user.isSuperAdmin ? { isSuperAdmin: false, roleIds: [] } : undefined))
  const inOffice = async () => {
    const { items } = await users.search(tenantId, { withRole: '1' }, { offset: 0, limit: 100 })
    return items.filter(({ isEnabled }) => isEnabled).map(({ id }) => id)
  }

  let left = await appoint('1000')
  const attacks = [disable, remove, demote]
  for (let round = 0; round < 36; round++) {
    const rival = await appoint(String(1001 + round))
    const attack = (number: number) => attacks[number % 3] as Attack
    const outcomes = await Promise.allSettled([attack(round)(rival), attack(round + Math.floor(round / 3))(left)])
    const standing = await inOffice()
    t.equal(standing.length, 1, `round ${round}`)
    for (const outcome of outcomes) if (outcome.status === 'rejected') t.match(outcome.reason, { code: 'forbidden' })
    left = standing[0] ?? ''
  }
  for (const attack of attacks) await t.rejects(attack(left), { code: 'forbidden' })
})
