import t from 'tap'
import { AppError, type RpcContract, Type } from '../src/index.js'
import { openBus, silentLog, startNatsServer, until } from './support/natsServer.js'

const half = {
  operation: 'test.half',
  summary: 'Half of an even number',
  request: Type.Object({ n: Type.Integer(), slowly: Type.Boolean({ default: false }) }),
  reply: Type.Object({ half: Type.Integer() }),
  timeoutMs: 2_000
} satisfies RpcContract

t.test('RPC', async (t) => {
  const nats = await startNatsServer(t)
  const errors: object[] = []
  const log = { ...silentLog, error: (fields: object) => void errors.push(fields) }
  const caller = await openBus(t, nats.url)
  const server = await openBus(t, nats.url, { name: 'halver', log })
  const slow: { release?: () => void } = {}

  await t.test('without anyone to answer is unavailable, at once', async (t) => {
    await t.rejects(caller.request({ ...half, timeoutMs: 60_000 }, { n: 2, slowly: false }), { code: 'unavailable' })
  })

  await server.serve(half, async ({ n, slowly }) => {
    if (slowly)
      await new Promise<void>((resolve) => {
        slow.release = resolve
      })
    if (n === 0) throw new Error('secret of the inside')
    if (n < 0) throw new AppError('internal', 'told on purpose', { n })
    if (n === 99) return { half: 49.5 }
    if (n % 2 === 1) throw new AppError('conflict', 'an odd number', { n })
    return { half: n / 2 }
  })

  t.test('answers', async (t) => {
    t.strictSame(await caller.request(half, { n: 8, slowly: false }, { requestId: 'r1' }), { half: 4 })
  })

  t.test('answers many at once', async (t) => {
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, n) => caller.request(half, { n: 2 * n + 2, slowly: false }))
    )
    t.strictSame(
      answers.map((answer) => answer.half),
      Array.from({ length: 500 }, (_, n) => n + 1)
    )
  })

  t.test('hands the AppError of the handler to the caller', async (t) => {
    const failure = caller.request(half, { n: 3, slowly: false })
    await t.rejects(failure, new AppError('conflict', 'an odd number', { n: 3 }))
    await t.rejects(caller.request(half, { n: -1, slowly: false }), { code: 'internal', message: 'told on purpose' })
  })

  t.test('hides and logs what the handler did not mean to throw', async (t) => {
    errors.length = 0
    await t.rejects(caller.request(half, { n: 0, slowly: false }, { requestId: 'r2' }), {
      code: 'internal',
      message: 'internal error'
    })
    t.match(errors, [{ operation: 'test.half', requestId: 'r2', err: { message: 'secret of the inside' } }])
  })

  t.test('checks questions on both sides', async (t) => {
    await t.rejects(caller.request(half, { n: 'x' } as never), { code: 'invalid_input', details: { field: 'n' } })
    const lenient = { ...half, request: Type.Object({ n: Type.String() }) }
    await t.rejects(caller.request(lenient, { n: 'x' }), { code: 'invalid_input', details: { field: 'n' } })
    const reply = await caller.connection.request('fleetgate.rpc.test.half', 'not json')
    t.match(reply.json(), { ok: false, error: { code: 'malformed_body' } })
  })

  t.test('checks answers on both sides', async (t) => {
    await t.rejects(caller.request(half, { n: 99, slowly: false }), {
      code: 'internal',
      message: /breaks its contract/
    })
    const strict = { ...half, reply: Type.Object({ half: Type.String() }) }
    await t.rejects(caller.request(strict, { n: 8, slowly: false }), {
      code: 'internal',
      message: /breaks its contract/
    })
  })

  t.test('gives up at the deadline', async (t) => {
    await t.rejects(caller.request(half, { n: 2, slowly: true }, { timeoutMs: 50 }), { code: 'timeout' })
    // On a busy machine the question arrives later than the caller waits.
    await until(() => slow.release, 'the question to arrive')
    slow.release?.()
  })

  t.test('finishes what is at work when it stops', async (t) => {
    const other = { ...half, operation: 'test.other' }
    let isAsked = false
    let answer = () => {}
    const serving = await server.serve(other, async () => {
      isAsked = true
      await new Promise<void>((resolve) => {
        answer = resolve
      })
      return { half: 1 }
    })
    const asked = caller.request(other, { n: 2, slowly: false })
    await until(() => isAsked, 'the question to arrive')
    const stopped = serving.stop()
    answer()
    await stopped
    t.strictSame(await asked, { half: 1 })
    await t.rejects(caller.request(other, { n: 2, slowly: false }), { code: 'unavailable' })
  })
})
