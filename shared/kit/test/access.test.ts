import t from 'tap'
import { watchAccess } from '../src/access.js'
import { AppError, type Caller, type RolesAnswer, roleChanged, userAuthorized } from '../src/index.js'
import { memoryLog, someCaller } from './support.js'

type Handle = (data: never) => void

/** A bus whose events are emitted by hand. */
function handBus() {
  const handlers = new Map<string, Handle>()
  const since = new Map<string, number>()
  const bus = {
    async watch(contract: { subject: string }, { sinceMs }: { sinceMs: number }, handle: Handle) {
      handlers.set(contract.subject, handle)
      since.set(contract.subject, sinceMs)
      return { stop: async () => void handlers.delete(contract.subject) }
    }
  }
  const emit = (contract: { subject: string }, data: object) => handlers.get(contract.subject)?.(data as never)
  return { bus: bus as never, emit, since, handlers }
}

const member: Caller = { ...someCaller, codes: new Set(['device.view']), roleIds: ['r1'], rolesVersion: 2 }

function role(roleId: string, codes: string[], revision = 1, tenantId = 'default') {
  return { roleId, tenantId, codes, revision }
}

function authorized(version: number, roleIds: string[], isSuperAdmin = false) {
  return { userId: 'u1', tenantId: 'default', isSuperAdmin, roleIds, version, at: Date.now() }
}

async function startAccess(t: { teardown(fn: () => unknown): void }, answers: () => RolesAnswer[]) {
  const state = { now: Date.now(), asked: 0 }
  const hand = handBus()
  const fetch = async ({ after }: { after: string }) => {
    state.asked += 1
    const pages = answers()
    const page = pages[after === '' ? 0 : Number(after)]
    if (!page) throw new AppError('unavailable', 'nobody answers')
    return page
  }
  const access = await watchAccess({ bus: hand.bus, fetch, log: memoryLog(), now: () => state.now })
  t.teardown(() => access.stop())
  return { access, state, ...hand }
}

const codesOf = (caller: Caller) => [...caller.codes].sort()

t.test('the codes of a caller are those of the token and of every role', async (t) => {
  const { access, since, emit } = await startAccess(t, () => [
    { roles: [role('r1', ['job.view'])], next: '1' },
    { roles: [role('r2', ['job.run']), role('r1', ['key.edit'], 1, 'elsewhere')] }
  ])
  const caller = await access.settled({ ...member, roleIds: ['r1', 'r2'] })
  t.same(codesOf(caller), ['device.view', 'job.run', 'job.view'])
  t.equal(await access.settled(someCaller), someCaller, 'nothing to add')
  t.equal(since.get(userAuthorized.subject), 25 * 3_600_000)
  const kept = access.current(member)
  t.equal(access.current(member), kept, 'worked out once')
  emit(roleChanged, role('r1', ['client.view'], 2))
  t.same(codesOf(access.current(member)), ['client.view', 'device.view'])
  emit(roleChanged, role('r1', ['job.view'], 1))
  t.same(codesOf(access.current(member)), ['client.view', 'device.view'], 'older news change nothing')
})

t.test('an event overrides tokens of a lower version only', async (t) => {
  const { access, emit } = await startAccess(t, () => [{ roles: [role('r1', ['job.view']), role('r2', ['job.run'])] }])
  emit(userAuthorized, authorized(3, ['r2']))
  t.same(codesOf(access.current(member)), ['device.view', 'job.run'])
  emit(userAuthorized, authorized(2, ['r1']))
  t.same(codesOf(access.current(member)), ['device.view', 'job.run'], 'an older event changes nothing')
  t.same(codesOf(access.current({ ...member, rolesVersion: 3 })), ['device.view', 'job.view'])
  emit(userAuthorized, authorized(4, [], true))
  t.equal(access.current({ ...member, rolesVersion: 3 }).isSuperAdmin, true)
  emit(userAuthorized, authorized(5, []))
  t.equal(access.current({ ...member, isSuperAdmin: true }).isSuperAdmin, false)
  t.equal(access.current({ ...member, userId: 'u2' }).roleIds?.[0], 'r1')
})

t.test('an unknown role is asked for, at most once a second', async (t) => {
  let roles = [role('r1', ['job.view'])]
  const { access, state } = await startAccess(t, () => [{ roles }])
  const stranger = { ...member, roleIds: ['r9'] }
  t.equal(state.asked, 1)
  for (let i = 0; i < 5; i++) t.same(codesOf(await access.settled(stranger)), ['device.view'])
  t.equal(state.asked, 1, 'asked for just before')
  state.now += 1001
  roles = [...roles, role('r9', ['job.run'])]
  const callers = await Promise.all([1, 2, 3].map(() => access.settled(stranger)))
  for (const caller of callers) t.same(codesOf(caller), ['device.view', 'job.run'])
  t.equal(state.asked, 2)
})

t.test('nobody is judged by roles that could not be had', async (t) => {
  let pages: RolesAnswer[] = []
  const { access, state, handlers } = await startAccess(t, () => pages)
  await t.rejects(access.settled(member), { code: 'unavailable' })
  t.equal(await access.settled(someCaller), someCaller, 'without roles nothing is missing')
  pages = [{ roles: [role('r1', ['job.view'])] }]
  state.now += 1001
  t.same(codesOf(await access.settled(member)), ['device.view', 'job.view'])
  await access.stop()
  t.equal(handlers.size, 0)
})
