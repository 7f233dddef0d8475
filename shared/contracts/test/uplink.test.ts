import t from 'tap'
import { type Delivered, type UplinkMessage, uplinkSubject } from '../src/index.js'
import { openBus, silentLog, startNatsServer, until } from './support/natsServer.js'

const message: UplinkMessage = {
  tenantId: 'acme',
  clientId: 'press-1',
  username: 'press',
  channel: 'report',
  topic: 'fleet/press-1/up/report',
  receivedAt: 1_700_000_000_123,
  payload: Buffer.from('{"seq":1}')
}

t.test('uplink', async (t) => {
  const nats = await startNatsServer(t)
  const bus = await openBus(t, nats.url)

  t.test('carries any client id, topic, user name and payload unchanged', async (t) => {
    const ids = [
      'a.b.c',
      'with space',
      '*',
      '>',
      'größe-漢字-🚀',
      'a/b#+$',
      '%2F',
      '_',
      '',
      '"quote"\\',
      'x'.repeat(256)
    ]
    const sent = ids.map((id, n) => ({
      ...message,
      clientId: id,
      username: ` ${id}\r\nFg-Topic: forged `,
      channel: n % 2 === 0 ? ('report' as const) : ('topic' as const),
      topic: `t/${id}/%25\r\n`,
      receivedAt: message.receivedAt + n,
      payload: new Uint8Array([n, 0, 255, 13, 10])
    }))
    for (const one of sent) await bus.uplink(one)
    await bus.uplink({ ...message, channel: 'hello' })
    const seen: Delivered<UplinkMessage>[] = []
    const subscription = await bus.consumeUplink(['report', 'topic'], { durable: 'round-trip' }, async (batch) => {
      seen.push(...batch)
    })
    await until(() => seen.length >= sent.length, 'every message handled')
    await subscription.stop()
    t.strictSame(
      seen.map(({ data }) => ({ ...data, payload: new Uint8Array(data.payload) })),
      sent
    )
  })

  t.test('ends what is not of our making', async (t) => {
    const errors: object[] = []
    const other = await openBus(t, nats.url, { log: { ...silentLog, error: (fields) => void errors.push(fields) } })
    await other.publishRaw(uplinkSubject({ ...message, channel: 'staged' }), 'without headers')
    await other.uplink({ ...message, channel: 'staged', clientId: 'good' })
    const seen: string[] = []
    const subscription = await other.consumeUplink(['staged'], { durable: 'foreign' }, async (batch) => {
      seen.push(...batch.map(({ data }) => data.clientId))
    })
    await until(() => seen.length > 0, 'the good one handled')
    await subscription.stop()
    t.strictSame(seen, ['good'])
    t.equal(errors.length, 1)
  })

  t.test('drops a repeat of a message that the machine sent again', async (t) => {
    for (let n = 0; n < 3; n++) await bus.uplink({ ...message, channel: 'blocks' }, { id: 'same' })
    const { state } = await bus.manager.streams.info('UPLINK', { subjects_filter: 'fleetgate.uplink.*.*.blocks' })
    t.strictSame(Object.values(state.subjects ?? {}), [1])
  })

  t.test('queues commands until a consumer took them', async (t) => {
    const { deliver } = await import('../src/index.js')
    const command = {
      tenantId: 'acme',
      channel: 'stage' as const,
      common: { stageId: 's' },
      targets: [{ clientId: 'c', own: {} }]
    }
    await bus.command(deliver, command)
    const seen: unknown[] = []
    const subscription = await bus.consumeCommands(deliver, { durable: 'broker-proxy' }, async (batch) => {
      seen.push(...batch.map(({ data }) => data))
    })
    await until(() => seen.length > 0, 'the command handled')
    await until(async () => (await bus.manager.streams.info('COMMANDS')).state.messages === 0, 'the queue empty')
    await subscription.stop()
    t.strictSame(seen, [command])
  })
})
