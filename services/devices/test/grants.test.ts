import {
  AppError,
  connectBus,
  grantToCreator,
  listGrants,
  listNames,
  listPublicKeys,
  resourceCreated,
  resourceDeleted,
  roleGrantsChanged,
  type Static,
  userAuthorized
} from '@fleetgate/kit'
import { quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createGrants } from '../src/grants/grants.js'
import { add, type Failure, find, list, startDevicesFor } from './support.js'

type Answer = Static<typeof listGrants.reply>

const parts = await startParts(t)
const guardKeys = testGuardKeys()
/** Answers for auth, by hand. */
const auth = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
t.teardown(() => auth.close())
const granted = new Map<string, Set<string>>()
let asked = 0
let isUp = true
await auth.serve(listPublicKeys, async () => ({ keys: guardKeys.keys }))
await auth.serve(listGrants, async ({ userId }): Promise<Answer> => {
  asked += 1
  if (!isUp) throw new AppError('unavailable', 'out of order')
  const ids = [...(granted.get(userId) ?? [])]
  return { all: false, resources: ids.map((id) => ({ id, type: 'DASHBOARD' as const })), roleIds: [`r${userId}`] }
})
await auth.serve(grantToCreator, async ({ userId, resource }) => {
  if (!isUp) throw new AppError('unavailable', 'out of order')
  give(userId, resource.id)
  return {}
})
const made: Static<typeof resourceCreated.data>[] = []
const gone: Static<typeof resourceDeleted.data>[] = []
await auth.watch(resourceCreated, { sinceMs: 60_000 }, (event) => void made.push(event))
await auth.watch(resourceDeleted, { sinceMs: 60_000 }, (event) => void gone.push(event))

const api = await startDevicesFor(t, parts)
const admin = api.as(guardKeys.token({ userId: '77' }))
const codes = ['dashboard.view', 'dashboard.add', 'dashboard.edit']

function member(userId: string) {
  return api.as(guardKeys.token({ userId, codes }))
}

function give(userId: string, id: string): void {
  granted.set(userId, (granted.get(userId) ?? new Set()).add(id))
}

async function tellOf(userId: string): Promise<void> {
  await auth.publish(roleGrantsChanged, { tenantId: 't1', roleId: `r${userId}`, at: Date.now() })
}

async function idsOf(userId: string): Promise<string[]> {
  return (await list(member(userId))).map(({ dashboard_id }) => dashboard_id)
}

await t.test('shows the granted dashboards only, and all of them to a super admin', async (t) => {
  const [one, two] = [await add(admin, 'one'), await add(admin, 'two')]
  t.same(await idsOf('1'), [], 'nothing granted, an empty list')
  give('2', two)
  t.same(await idsOf('2'), [two])
  t.same(
    (await list(admin)).map(({ dashboard_id }) => dashboard_id),
    [one, two]
  )
})

await t.test('knows nothing of a dashboard outside the grants', async (t) => {
  const id = await add(admin, 'hidden')
  give('3', await add(admin, 'mine'))
  for (const userId of ['3', '4']) {
    const put = await member(userId).put<Failure>(`/dashboard/${id}`, { name: 'stolen', widgets: [] })
    t.match([put.status, put.body.error_code], [404, 'data_no_found'])
    t.equal((await member(userId).delete(`/dashboard/${id}`)).status, 404)
  }
  t.equal((await find(admin, id))?.name, 'hidden')
})

await t.test('asks auth once per user and again within a second after a change', async (t) => {
  const id = await add(admin, 'later')
  t.same(await idsOf('5'), [])
  const before = asked
  await Promise.all(Array.from({ length: 20 }, () => idsOf('5')))
  t.equal(asked, before)
  give('5', id)
  t.same(await idsOf('5'), [], 'nobody said so yet')
  await tellOf('5')
  await until(async () => (await idsOf('5')).includes(id), { what: 'the new grant', deadlineMs: 1000 })
  granted.delete('5')
  const change = { userId: '5', tenantId: 't1', isSuperAdmin: false, roleIds: [], version: 1, at: Date.now() }
  await auth.publish(userAuthorized, change)
  await until(async () => (await idsOf('5')).length === 0, { what: 'the grant to go', deadlineMs: 1000 })
})

await t.test('lets creators see what they made at once, and says so to auth', async (t) => {
  t.same(await idsOf('6'), [])
  const id = await add(member('6'), 'own')
  t.same(await idsOf('6'), [id])
  t.equal((await member('6').put(`/dashboard/${id}`, { name: 'own too', widgets: [] })).status, 200)
  t.match(await until(() => made.find(({ resource }) => resource.id === id), { what: 'the event' }), {
    tenantId: 't1',
    userId: '6',
    resource: { type: 'DASHBOARD' }
  })
  t.equal((await member('6').delete(`/dashboard/${id}`)).status, 200)
  await until(() => gone.find(({ resource }) => resource.id === id), { what: 'the event of the deletion' })
})

await t.test('goes on with what it knows while auth is silent, and refuses to guess beyond', async (t) => {
  const id = await add(admin, 'known')
  give('7', id)
  t.same(await idsOf('7'), [id])
  isUp = false
  t.same(await idsOf('7'), [id])
  t.equal((await member('8').get('/dashboard/dashboards')).status, 503)
  const own = await add(member('8'), 'made meanwhile')
  isUp = true
  await until(() => made.some(({ resource }) => resource.id === own), { what: 'the event' })
})

await t.test('tells names to others, by ids, without ids, by keyword, page by page, per tenant', async (t) => {
  const other = api.as(guardKeys.token({ tenantId: 'names' }))
  const ids: string[] = []
  for (const name of ['Alpha', 'Beta', 'Gamma (x)']) ids.push(await add(other, name))
  const ask = (question: object) =>
    auth.request(listNames, { tenantId: 'names', type: 'DASHBOARD', offset: 0, limit: 10, ...question })
  const namesOf = async (question: object) => (await ask(question)).items.map(({ name }) => name)
  t.same(await namesOf({}), ['Gamma (x)', 'Beta', 'Alpha'])
  t.same(await namesOf({ ids: [ids[0], '999'] }), ['Alpha'])
  t.same(await namesOf({ ids: [] }), [])
  t.same(await namesOf({ parentIds: ['ping'] }), [])
  t.same(await namesOf({ exceptIds: [ids[0]], exceptParentIds: [] }), ['Gamma (x)', 'Beta'])
  t.same(await namesOf({ keyword: 'a (' }), ['Gamma (x)'])
  t.match(await ask({ offset: 1, limit: 1 }), { isKnown: true, total: 3, items: [{ id: ids[1], userId: '1' }] })
  t.same(await namesOf({ tenantId: 'nobody' }), [])
  t.match(await ask({ type: 'WORKFLOW' }), { isKnown: true, total: 0 })
  await other.delete(`/dashboard/${ids[0]}`)
  t.same(await namesOf({ ids }), ['Gamma (x)', 'Beta'])
})

await t.test('puts the pages of an answer together', async (t) => {
  const page = (id: string, next?: number): Answer => ({
    all: false,
    resources: [{ id, type: 'DASHBOARD' }],
    roleIds: ['r'],
    ...(next === undefined ? {} : { next })
  })
  const grants = createGrants({ ask: async ({ offset }) => (offset === 0 ? page('1', 1) : page('2')) })
  const caller = { tenantId: 't', userId: 'u', isSuperAdmin: false, email: '', nickname: '', version: 1 }
  const scope = await grants.scopeOf({ ...caller, codes: new Set<string>() }, 'DASHBOARD')
  t.same([...scope.ids], ['1', '2'])
})

await t.test('remembers no answer that a change has overtaken', async (t) => {
  let release = (_: Answer) => {}
  const grants = createGrants({ ask: () => new Promise<Answer>((resolve) => (release = resolve)) })
  const caller = { tenantId: 't', userId: 'u', isSuperAdmin: false, email: '', nickname: '', version: 1 }
  const scope = () => grants.scopeOf({ ...caller, codes: new Set<string>() }, 'DASHBOARD')
  const answer = (id: string): Answer => ({ all: false, resources: [{ id, type: 'DASHBOARD' }], roleIds: ['r'] })
  const early = scope()
  const releaseEarly = release
  grants.roleChanged('t', 'r')
  const late = scope()
  releaseEarly(answer('old'))
  t.same([...(await early).ids], ['old'])
  release(answer('new'))
  t.same([...(await late).ids], ['new'])
  t.same([...(await scope()).ids], ['new'])
})
