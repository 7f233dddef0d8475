import t from 'tap'
import {
  AppError,
  createServiceTokenVerifier,
  type ServiceTokenAnswer,
  scoped,
  toCaller,
  toCallerData
} from '../src/index.js'
import { someCaller } from './support.js'

const caller = toCallerData({ ...someCaller, codes: new Set(['job.view', 'job.run']) })
const tokenOf = (id: number) => `fgt_${String(id).padStart(32, '0')}_${'A'.repeat(43)}`

/** Auth as this verifier sees it, with a clock of its own. */
function parts() {
  const state = {
    clock: 1_000_000,
    asked: 0,
    answer: async (token: string): Promise<ServiceTokenAnswer> => ({
      tokenId: token.slice(4, 36),
      caller,
      codes: ['job.view'],
      expiresAt: 1e15
    })
  }
  const verifier = createServiceTokenVerifier({
    ask: async (token) => {
      state.asked += 1
      return state.answer(token)
    },
    now: () => state.clock
  })
  return { state, verifier }
}

t.test('asks once a minute, and once for questions at the same moment', async (t) => {
  const { state, verifier } = parts()
  t.throws(() => verifier.known(tokenOf(1)), { code: 'unauthenticated', details: { reason: 'unknown_key' } })
  await Promise.all([verifier.verify(tokenOf(1)), verifier.verify(tokenOf(1)), verifier.verify(tokenOf(1))])
  t.equal(state.asked, 1)
  state.clock += 59_999
  t.equal(verifier.known(tokenOf(1)).tokenId, tokenOf(1).slice(4, 36))
  state.clock += 1
  t.throws(() => verifier.known(tokenOf(1)))
  await verifier.verify(tokenOf(1))
  t.equal(state.asked, 2)
})

t.test('believes a token no longer than it lives', async (t) => {
  const { state, verifier } = parts()
  const { answer, clock } = state
  state.answer = async (token) => ({ ...(await answer(token)), expiresAt: clock + 10 })
  await verifier.verify(tokenOf(1))
  state.clock += 10
  t.throws(() => verifier.known(tokenOf(1)))
})

t.test('forgets one token, or all of a user, and not those of others', async (t) => {
  const { state, verifier } = parts()
  const { answer } = state
  state.answer = async (token) => ({
    ...(await answer(token)),
    caller: { ...caller, userId: token === tokenOf(3) ? 'u3' : 'u1' }
  })
  for (const id of [1, 2, 3]) await verifier.verify(tokenOf(id))
  verifier.forget({ tokenId: tokenOf(1).slice(4, 36) })
  t.throws(() => verifier.known(tokenOf(1)))
  t.ok(verifier.known(tokenOf(2)))
  verifier.forget({ userId: 'u1' })
  t.throws(() => verifier.known(tokenOf(2)))
  t.ok(verifier.known(tokenOf(3)))
})

t.test('does not remember a yes that was on its way when the token was revoked', async (t) => {
  const { state, verifier } = parts()
  const { answer } = state
  let release = () => {}
  state.answer = async (token) => {
    await new Promise<void>((resolve) => {
      release = resolve
    })
    return answer(token)
  }
  const waiting = verifier.verify(tokenOf(1))
  verifier.forget({ tokenId: tokenOf(1).slice(4, 36) })
  const early = release
  state.answer = async () => {
    throw new AppError('unauthenticated', 'no')
  }
  await t.rejects(verifier.verify(tokenOf(1)), { code: 'unauthenticated' }, 'who comes later asks anew')
  early()
  await waiting
  t.throws(() => verifier.known(tokenOf(1)))
})

t.test('remembers a no, but not that auth was away, and asks nothing about what cannot be a token', async (t) => {
  const { state, verifier } = parts()
  const { answer } = state
  state.answer = async () => {
    throw new AppError('unavailable', 'away')
  }
  await t.rejects(verifier.verify(tokenOf(1)), { code: 'unavailable' })
  state.answer = answer
  t.ok(await verifier.verify(tokenOf(1)))
  state.answer = async () => {
    throw new AppError('unauthenticated', 'no')
  }
  for (let i = 0; i < 3; i++) await t.rejects(verifier.verify(tokenOf(2)), { code: 'unauthenticated' })
  t.equal(state.asked, 3)
  for (const text of ['fgt_', `${tokenOf(1)}x`, `fgt_${'x'.repeat(32)}_${'A'.repeat(43)}`, 'fgt_'.repeat(10_000)]) {
    await t.rejects(verifier.verify(text), { code: 'unauthenticated' })
  }
  t.equal(state.asked, 3)
})

t.test('forgets every no when a user changes: a disabled one may be enabled again', async (t) => {
  const { state, verifier } = parts()
  const { answer } = state
  let release = () => {}
  const refuse = async () => {
    throw new AppError('unauthenticated', 'no')
  }
  state.answer = refuse
  await t.rejects(verifier.verify(tokenOf(1)), { code: 'unauthenticated' })
  state.answer = answer
  verifier.forget({ tokenId: tokenOf(2).slice(4, 36) })
  await t.rejects(verifier.verify(tokenOf(1)), { code: 'unauthenticated' }, 'another token changes nothing')
  verifier.forget({ userId: 'u1' })
  t.ok(await verifier.verify(tokenOf(1)))

  state.answer = async () => {
    await new Promise<void>((resolve) => {
      release = resolve
    })
    return refuse()
  }
  const waiting = verifier.verify(tokenOf(2))
  verifier.forget({ userId: 'u1' })
  release()
  await t.rejects(waiting, { code: 'unauthenticated' })
  state.answer = answer
  t.ok(await verifier.verify(tokenOf(2)), 'a no that was on its way is not remembered')
})

t.test('a program may do what both its token and its person may, and is never a super admin', async (t) => {
  const { verifier } = parts()
  const identity = await verifier.verify(tokenOf(1))
  const person = toCaller(caller)
  t.same([...scoped(identity, person).codes], ['job.view'])
  t.equal(scoped(identity, person), scoped(identity, person), 'the same object while nothing changes')
  t.same([...scoped(identity, { ...person, codes: new Set(['job.run']) }).codes], [])
  const admin = scoped(identity, { ...person, isSuperAdmin: true, codes: new Set() })
  t.match(
    { ...admin, codes: [...admin.codes] },
    { isSuperAdmin: false, codes: ['job.view'], serviceTokenId: identity.tokenId }
  )
})
