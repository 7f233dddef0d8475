import { connectBus, loadConfig, mailFailed, sendMail, withOrigin } from '@fleetgate/kit'
import { createSecrets, loadKeyRing, openStore } from '@fleetgate/store'
import {
  createApi,
  freePort,
  mailServerCertificate,
  quietLog,
  startMailServer,
  startParts,
  startService,
  testGuardKeys,
  until
} from '@fleetgate/testkit'
import t from 'tap'
import { Config } from '../src/config.js'
import { messageIdHeader, retryWaitMs } from '../src/mail/mail.js'
import { createMailing } from '../src/mail/mailing.js'
import { createMailStore } from '../src/mail/mailStore.js'
import { type Reply, serveKeys } from './support.js'

t.setTimeout(180_000)

interface Row {
  message_id: string
  state: string
  attempts: number
  reason?: string
  refused: { address: string; reason: string }[]
}

const env = { MAIL_TIMEOUT_MS: '2000', MAIL_RETRY_MS: '50', MAIL_SWEEP_MS: '50', MAIL_MAX_ATTEMPTS: '4' }
const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
// In a process of its own, so that everything it writes can be searched, and it can be killed.
const service = await startService(t, { name: 'cluster-manager', parts, env: { ...env, LOG_LEVEL: 'debug' } })
const api = createApi(service.url)
const bus = await connectBus({ name: 'test', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
const given: { tenantId: string; messageId: string; reason: string; requestId: string | undefined }[] = []
await bus.consume(mailFailed, { durable: 'test' }, async (batch) => {
  given.push(...batch.map(({ data, requestId }) => ({ ...data, requestId })))
})

const admin = (tenantId: string) =>
  api.as(guardKeys.token({ userId: 'a', tenantId, codes: ['smtp.view', 'smtp.edit'] }))
const login = { user: 'sender@example.com', pass: 'swordfish-mail' }

async function configure(tenantId: string, port: number, change: Record<string, unknown> = {}): Promise<void> {
  const body = { name: login.user, address: 'localhost', port, security: 'none', ...change }
  const reply = await admin(tenantId).post('/v1/smtp', body)
  if (reply.status !== 200) throw new Error(reply.text)
}

const send = (
  tenantId: string,
  messageId: string,
  change: Partial<{ to: string[]; subject: string; text: string }> = {}
) => bus.request(sendMail, { tenantId, messageId, to: ['ops@example.com'], subject: 'hello', text: 'world', ...change })

async function rowOf(tenantId: string, messageId: string): Promise<Row | undefined> {
  const { data } = (await admin(tenantId).get<Reply<Row[]>>('/v1/smtp/mails')).body
  return data.find(({ message_id }) => message_id === messageId)
}

const inState = (tenantId: string, messageId: string, state: string) =>
  until(
    async () => {
      const row = await rowOf(tenantId, messageId)
      return row?.state === state ? row : undefined
    },
    { what: `${messageId} to be ${state}`, everyMs: 50 }
  )

await t.test('sends over TLS and STARTTLS, logged in; a certificate nobody trusts is not believed', async (t) => {
  for (const security of ['tls', 'starttls']) {
    const server = await startMailServer(t, { secure: security === 'tls', login })
    await configure(security, server.port, { security, passwd: login.pass, ca_cert: mailServerCertificate })
    t.strictSame(await send(security, 'm1'), { isNew: true })
    t.match(await inState(security, 'm1', 'SENT'), { attempts: 1, refused: [] })
    t.match(server.received, [
      {
        from: login.user,
        to: ['ops@example.com'],
        isEncrypted: true,
        username: login.user,
        source: /Subject: hello\r\n/
      }
    ])
    await configure(`${security}-blind`, server.port, { security, passwd: login.pass })
    await send(`${security}-blind`, 'm1')
    t.match(await inState(`${security}-blind`, 'm1', 'FAILED'), { attempts: 4, reason: /certificate/ })
    t.equal(server.received.length, 1)
  }
})

await t.test('sends nothing unencrypted where encryption is wanted', async (t) => {
  const server = await startMailServer(t, { plain: true })
  await configure('strip', server.port, { security: 'starttls' })
  await send('strip', 'm1')
  await inState('strip', 'm1', 'FAILED')
  t.strictSame(server.received, [])
})

await t.test('the same messageId is one mail, within its tenant', async (t) => {
  const server = await startMailServer(t)
  await configure('once', server.port)
  const replies = await Promise.all(Array.from({ length: 10 }, () => send('once', 'same')))
  t.equal(replies.filter(({ isNew }) => isNew).length, 1)
  await inState('once', 'same', 'SENT')
  t.strictSame(await send('once', 'same'), { isNew: false }, 'also when it was sent')
  await send('once', 'other', { to: ['a@example.com', 'b@example.com', 'a@example.com'] })
  await inState('once', 'other', 'SENT')
  t.strictSame(
    server.received.map(({ to }) => to),
    [['ops@example.com'], ['a@example.com', 'b@example.com']]
  )
  const id = messageIdHeader({ tenantId: 'once', messageId: 'same' })
  t.ok(server.received[0]?.source.includes(`Message-ID: ${id}\r\n`))
  t.not(id, messageIdHeader({ tenantId: 'another', messageId: 'same' }))
})

await t.test('waits without a server, says why, and goes when there is one', async (t) => {
  await send('none', 'm1')
  await until(async () => /no SMTP server/.test((await rowOf('none', 'm1'))?.reason ?? ''), { what: 'the reason' })
  t.match(await rowOf('none', 'm1'), { state: 'WAITING', attempts: 0 })
  t.strictSame((await admin('elsewhere').get('/v1/smtp/mails?count=true')).body, { success: true, count: 0, data: [] })
  const server = await startMailServer(t)
  await configure('none', server.port)
  await inState('none', 'm1', 'SENT')
  t.equal(server.received.length, 1)
  t.match((await admin('none').get('/v1/smtp/mails?count=true&state=SENT')).body, {
    count: 1,
    data: [{ subject: 'hello' }]
  })
  t.match((await admin('none').get('/v1/smtp/mails?count=true&state=FAILED')).body, { count: 0 })
})

await t.test('tries again where the server is away or asks for patience, in time', async (t) => {
  const port = await freePort()
  await configure('away', port)
  await send('away', 'm1')
  await until(async () => ((await rowOf('away', 'm1'))?.attempts ?? 0) >= 1, { what: 'an attempt', everyMs: 20 })
  const server = await startMailServer(t, { port })
  await configure('away', port, { name: 'again@example.com' })
  await inState('away', 'm1', 'SENT')
  t.equal(server.received.length, 1)

  const asked = new Map<string, number>()
  const grey = await startMailServer(t, {
    refuse: (address) => {
      const times = (asked.get(address) ?? 0) + 1
      asked.set(address, times)
      return address.startsWith('grey') && times < 3 ? 450 : undefined
    }
  })
  await configure('grey', grey.port)
  await send('grey', 'm1', { to: ['grey@example.com', 'quick@example.com'] })
  t.match(await inState('grey', 'm1', 'SENT'), { attempts: 3 })
  t.strictSame(
    grey.received.map(({ to }) => to),
    [['quick@example.com'], ['grey@example.com']],
    'each recipient gets it once'
  )
})

await t.test('gives up what is refused for good, with an event', async (t) => {
  const refuse = (address: string) => (address.startsWith('no') ? 550 : undefined)
  const server = await startMailServer(t, { refuse })
  await configure('refused', server.port)
  await send('refused', 'all', { to: ['no1@example.com', 'no2@example.com'] })
  t.match(await inState('refused', 'all', 'FAILED'), {
    attempts: 1,
    reason: /550/,
    refused: [{ address: 'no1@example.com' }, { address: 'no2@example.com', reason: /not taken by the test/ }]
  })
  await send('refused', 'some', { to: ['no1@example.com', 'yes@example.com'] })
  t.match(await inState('refused', 'some', 'FAILED'), { refused: [{ address: 'no1@example.com' }] })
  t.strictSame(
    server.received.map(({ to }) => to),
    [['yes@example.com']]
  )
  await until(() => given.filter(({ tenantId }) => tenantId === 'refused').length === 2, { what: 'the events' })
  t.match(
    given.find(({ messageId }) => messageId === 'all'),
    { reason: /550/ }
  )
})

await t.test('a wrong log-in is tried up to the limit, and never shows the password', async (t) => {
  const server = await startMailServer(t, { secure: true, login })
  await configure('login', server.port, { security: 'tls', passwd: 'swordfish-wrong', ca_cert: mailServerCertificate })
  await withOrigin({ requestId: 'asks-for-mail' }, () => send('login', 'm1'))
  t.match(await inState('login', 'm1', 'FAILED'), { attempts: 4, reason: 'the server refused the log-in (535)' })
  const event = await until(() => given.find(({ tenantId }) => tenantId === 'login'), { what: 'the event' })
  t.equal(event.requestId, 'asks-for-mail')
  const lines = /^.*"requestId":"asks-for-mail".*"msg":"mail (not sent, trying again|given up)".*$/gm
  const said = await until(
    () => {
      const read = service.output().match(lines) ?? []
      return read.length >= 4 ? read : undefined
    },
    { what: 'a line of each attempt' }
  )
  t.equal(said.length, 4, 'so does the line of each attempt')
})

await t.test('with two servers the second one gets what the first cannot take', async (t) => {
  await configure('two', await freePort())
  const server = await startMailServer(t)
  await configure('two', server.port, { address: '127.0.0.1' })
  await send('two', 'm1')
  t.match(await inState('two', 'm1', 'SENT'), { attempts: 2 })
})

await t.test('no text makes a header, whatever it holds', async (t) => {
  const server = await startMailServer(t)
  await configure('inject', server.port)
  const hostile: Parameters<typeof send>[2][] = [
    { subject: 'a\r\nBcc: evil@example.com' },
    { subject: 'a\nb' },
    { subject: 'a\u2028b' },
    { to: ['ops@example.com\r\nBcc: evil@example.com'] },
    { to: ['ops@example.com, evil@example.com'] },
    { to: ['Evil <evil@example.com>'] },
    { to: [] },
    { to: Array.from({ length: 21 }, (_, i) => `a${i}@example.com`) }
  ]
  for (const [index, change] of hostile.entries()) {
    await t.rejects(send('inject', 'bad', change), { code: 'invalid_input' }, `number ${index}`)
  }
  await t.rejects(send('inject', 'a\r\nb'), { code: 'invalid_input' })
  await send('inject', 'good', { subject: 'Ünïcode: <x> "y"', text: '.\r\nBcc: evil@example.com\r\n\r\n.\r\nQUIT\r\n' })
  await inState('inject', 'good', 'SENT')
  const [mail] = server.received
  t.strictSame(mail?.to, ['ops@example.com'])
  t.notMatch(mail?.source.split('\r\n\r\n')[0] ?? '', /^bcc:/im)
  t.equal(server.received.length, 1)
  t.equal(await rowOf('inject', 'bad'), undefined)
})

await t.test('a killed process loses no mail', async (t) => {
  const port = await freePort()
  await configure('killed', port)
  for (let i = 0; i < 10; i++) await send('killed', `m${i}`)
  await service.kill()
  const server = await startMailServer(t, { port })
  await service.restart()
  const all = async () => (await admin('killed').get<Reply<Row[]>>('/v1/smtp/mails?state=SENT&count=true')).body.count
  await until(async () => (await all()) === 10, { what: 'every mail sent', everyMs: 100, deadlineMs: 60_000 })
  const ids = new Set(server.received.map(({ source }) => /^Message-ID: (.*)$/im.exec(source)?.[1]))
  t.equal(ids.size, 10)
})

await t.test('of several replicas one sends each mail; an old lease writes nothing', async (t) => {
  const server = await startMailServer(t)
  const store = await openStore({ uri: parts.mongoUri, database: 'replicas', log: quietLog })
  t.teardown(() => store.close())
  const mails = createMailStore(store, { bus, log: quietLog, keepMs: 1000 })
  await store.sync()
  const mail = {
    tenantId: 'r',
    messageId: 'm',
    to: ['a@example.com'],
    open: ['a@example.com'],
    refused: [],
    subject: 's'
  }
  const more = { text: '', state: 'WAITING' as const, attempts: 0, nextAttemptAt: 0, epoch: 0, createdAt: 0 }
  t.equal(await mails.insert({ ...mail, ...more }), true)
  const claim = (now: number) => mails.claim({ now, leaseMs: 100, except: [] })
  const claims = await Promise.all(Array.from({ length: 5 }, () => claim(1000)))
  const [first] = claims.filter((claimed) => claimed !== undefined)
  t.equal(claims.filter((claimed) => claimed !== undefined).length, 1)
  await mails.wake('r', 1001)
  t.equal(await claim(1050), undefined, 'waking takes nothing from who has the lease')
  const second = await claim(1101)
  if (!first || !second) throw new Error('not claimed')
  t.equal(await mails.sent(first, 1102), false)
  t.equal(await mails.failed(first, { ...first, reason: 'x' }, 1102), false)
  t.equal(await mails.sent(second, 1102), true)

  const config = loadConfig(Config, {
    MONGODB_URI: parts.mongoUri,
    NATS_URL: parts.natsUrl,
    SECRETS_KEY_FILE: parts.keyFile,
    ...env
  })
  const secrets = createSecrets({ keys: loadKeyRing({ file: parts.keyFile }) })
  for (let i = 0; i < 2; i++) {
    const own = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
    t.teardown(() => own.close())
    const stop = await createMailing({ store: own, secrets, bus, log: quietLog, config, now: Date.now }).start()
    t.teardown(stop)
  }
  await configure('many', server.port)
  for (let i = 0; i < 15; i++) await send('many', `m${i}`)
  await until(() => server.received.length >= 15, { what: 'all mails', deadlineMs: 60_000 })
  const sent = async () => (await admin('many').get<Reply<Row[]>>('/v1/smtp/mails?state=SENT&count=true')).body.count
  await until(async () => (await sent()) === 15, { what: 'all recorded' })
  t.equal(server.received.length, 15)
})

t.test('waits twice as long each time, an hour at most', (t) => {
  t.strictSame(
    [1, 2, 3, 8, 50].map((attempts) => retryWaitMs(attempts, 30_000)),
    [30_000, 60_000, 120_000, 3_600_000, 3_600_000]
  )
  t.end()
})

await t.test('no password stands in any log, event or list', async (t) => {
  for (const tenantId of ['tls', 'starttls', 'login']) {
    const session = admin(tenantId)
    const lists = (await session.get('/v1/smtp')).text + (await session.get('/v1/smtp/mails')).text
    t.notMatch(lists, /swordfish/)
  }
  t.notMatch(JSON.stringify(given), /swordfish/)
  t.match(service.output(), /mail given up/, 'the log is there to be searched')
  t.notMatch(service.output(), /swordfish/)
  t.notOk(service.output().includes(Buffer.from(`\0${login.user}\0${login.pass}`).toString('base64')))
})
