import t from 'tap'
import { type EventContract, Type, userRevoked } from '../src/index.js'
import { openBus, silentLog, startNatsServer, until } from './support/natsServer.js'

const counted = {
  subject: 'test.watch.counted',
  summary: 'A number was counted',
  data: Type.Object({ n: Type.Integer() })
} satisfies EventContract

t.test('watch', async (t) => {
  const nats = await startNatsServer(t)
  const errors: object[] = []
  const log = { ...silentLog, error: (fields: object) => void errors.push(fields) }
  const bus = await openBus(t, nats.url, { log })

  t.test('shows every process what was before and what comes', async (t) => {
    const total = 3_000
    const numbers = Array.from({ length: total }, (_, n) => n)
    for (let n = 0; n < total - 1; n += 500) {
      await Promise.all(numbers.slice(n, Math.min(n + 500, total - 1)).map((i) => bus.publish(counted, { n: i })))
    }
    const seen: [number[], number[]] = [[], []]
    const watches = await Promise.all(
      seen.map((list) => bus.watch(counted, { sinceMs: 60_000 }, ({ n }) => void list.push(n)))
    )
    t.strictSame(
      seen.map((list) => list.length),
      [total - 1, total - 1],
      'the earlier ones were handled when watch() resolved'
    )
    await bus.publish(counted, { n: total - 1 })
    await until(() => seen.every((list) => list.length === total), 'the live one seen')
    await Promise.all(watches.map((watch) => watch.stop()))
    for (const list of seen)
      t.strictSame(
        [...list].sort((a, b) => a - b),
        numbers
      )
  })

  t.test('passes over what is older than asked for', async (t) => {
    const watch = await bus.watch(counted, { sinceMs: -1_000 }, () => t.fail('it is older'))
    await watch.stop()
  })

  t.test('goes on behind a handler that fails and a broken payload', async (t) => {
    const revoked = (minVersion: number) => ({ userId: 'u', tenantId: 't', minVersion, at: Date.now() })
    for (const version of [1, 2]) await bus.publish(userRevoked, revoked(version))
    await bus.publishRaw(`fleetgate.event.${userRevoked.subject}`, '{}')
    await bus.publish(userRevoked, revoked(3))
    errors.length = 0
    const seen: number[] = []
    const watch = await bus.watch(userRevoked, { sinceMs: 60_000 }, ({ minVersion }) => {
      seen.push(minVersion)
      if (minVersion === 2) throw new Error('no')
    })
    await watch.stop()
    t.strictSame(seen, [1, 2, 3])
    t.equal(errors.length, 2, 'both are logged')
  })

  t.test('leaves no consumer behind', async (t) => {
    const names: string[] = []
    for await (const { name } of bus.manager.consumers.list('EVENTS')) names.push(name)
    t.strictSame(names, [])
  })
})
