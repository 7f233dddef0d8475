import {
  AppError,
  alertClosed,
  alertRaised,
  type Bus,
  connectBus,
  type Static,
  type Subscription,
  sendMail
} from '@fleetgate/kit'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { mailOf } from '../src/alerts/alertMails.js'
import { type Json, makeJob, newTenant, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

type Mail = Static<typeof sendMail.request>

/** What stands in for cluster-manager: it keeps mails by their id, as the contract says. */
async function serveMails(bus: Bus, kept: Map<string, Mail>, fail: () => boolean): Promise<Subscription> {
  return bus.serve(sendMail, async (mail) => {
    const key = `${mail.tenantId}:${mail.messageId}`
    const isNew = !kept.has(key)
    kept.set(key, mail)
    if (fail()) throw new AppError('unavailable', 'the answer is lost')
    return { isNew }
  })
}

const everyMs = 1_500

t.test('alerts go out as events and mails', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const env = {
    SAMPLE_MS: '100',
    ALERT_OFFLINE_MINUTES: '0.002',
    ALERT_MAIL_SWEEP_MS: '50',
    ALERT_MAIL_EVERY_MS: String(everyMs)
  }
  const options = { parts, database: 'alertMails', env }
  const replica = await startReplica(t, options)
  const second = await startReplica(t, options)
  const bus = await connectBus({ name: 'cluster-manager', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const raised: Static<typeof alertRaised.data>[] = []
  const closed: Static<typeof alertClosed.data>[] = []
  await bus.consume(alertRaised, { durable: 'r' }, async (batch) => void raised.push(...batch.map(({ data }) => data)))
  await bus.consume(alertClosed, { durable: 'c' }, async (batch) => void closed.push(...batch.map(({ data }) => data)))
  const kept = new Map<string, Mail>()
  const of = (tenantId: string) => [...kept.values()].filter((mail) => mail.tenantId === tenantId)
  let serving: Subscription | undefined
  let isFailing = false
  const serve = async () => {
    serving = await serveMails(bus, kept, () => isFailing)
  }
  await serve()

  fleet.onExecution = (command) =>
    fleet.report(command, [{ seq: 1, at: Date.now(), kind: 'FINISHED', status: 'FAILED', message: 'no' }])
  const addresses = ['ops@example.com', 'night@example.org']

  async function failJob(api: ReturnType<typeof replica.as>, name: string): Promise<number> {
    const { jobId } = await makeJob(api, { clients: [name] })
    await api.get(`/v1/jobs/${jobId}/run`)
    return jobId
  }

  async function online(tenantId: string, names: string[]): Promise<ReturnType<typeof replica.as>> {
    const api = replica.as({ tenantId })
    await fleet.connect(tenantId, names)
    const count = async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total
    await until(async () => (await count()) === names.length, { what: 'machines' })
    return api
  }

  await t.test('a failed job is an event and a mail, its later end an event', async (t) => {
    const tenantId = newTenant()
    const api = await online(tenantId, ['a'])
    t.match((await api.post('/v1/settings', { alertMailTo: addresses })).body, { alertMailTo: addresses })
    const jobId = await failJob(api, 'a')
    const [mail] = await until(() => (of(tenantId).length > 0 ? of(tenantId) : undefined), { what: 'the mail' })
    t.match(mail, { to: addresses, subject: `[Fleetgate] job ${jobId} failed on 1 of 1 clients` })
    t.match(mail?.text, new RegExp(`job: ${jobId}\\nsince: 20.*Z\\nsee: /v1/logs/jobs/clients\\?jobId=${jobId}`))
    const event = await until(() => raised.find((one) => one.tenantId === tenantId), { what: 'the event' })
    t.match(event, { kind: 'JOB_FAILED', subjectId: jobId, message: mail?.subject.slice('[Fleetgate] '.length) })
    t.equal((await api.put(`/v1/dashboard/alerts/${event.alertId}/close`)).status, 200)
    t.equal((await api.put(`/v1/dashboard/alerts/${event.alertId}/close`)).status, 200)
    await until(() => closed.some(({ alertId }) => alertId === event.alertId), { what: 'the closing' })
    t.equal(closed.filter(({ alertId }) => alertId === event.alertId).length, 1)
  })

  await t.test('a machine that stays away is told of by name, its return by an event', async (t) => {
    const tenantId = newTenant()
    const api = await online(tenantId, ['till\n7'])
    await api.post('/v1/settings', { alertMailTo: addresses })
    await fleet.disconnect(tenantId, ['till\n7'])
    const [mail] = await until(() => (of(tenantId).length > 0 ? of(tenantId) : undefined), { what: 'the mail' })
    t.match(mail?.subject, /^\[Fleetgate\] client till 7 is offline since 20/)
    t.match(mail?.text, /see: \/v1\/clients\/\d+\/details/)
    await fleet.connect(tenantId, ['till\n7'])
    await until(() => closed.some((one) => one.tenantId === tenantId && one.kind === 'CLIENT_OFFLINE'), {
      what: 'closed'
    })
  })

  await t.test('a storm is one mail at once and one for the rest, each alert told once', async (t) => {
    const tenantId = newTenant()
    const names = Array.from({ length: 6 }, (_, i) => `m${i}`)
    const api = await online(tenantId, names)
    await api.post('/v1/settings', { alertMailTo: addresses })
    const jobs = []
    const begun = Date.now()
    for (const name of names) jobs.push(await failJob(api, name))
    const told = () =>
      of(tenantId).flatMap(({ text }) => [...text.matchAll(/^job: (\d+)$/gm)].map(([, id]) => Number(id)))
    await until(() => told().length >= jobs.length, { what: 'all alerts told', deadlineMs: 60_000 })
    t.strictSame(told().sort(), jobs.sort())
    // However long the machine takes to make them fail.
    t.ok(of(tenantId).length <= 1 + (Date.now() - begun) / everyMs, 'bundled')
  })

  await t.test('what cannot be handed over waits; a lost answer makes no second mail', async (t) => {
    await serving?.stop()
    const tenantId = newTenant()
    const api = await online(tenantId, ['a'])
    await api.post('/v1/settings', { alertMailTo: addresses })
    await failJob(api, 'a')
    const digests = replica.store.connection.collection('alert_digests')
    const pending = await until(() => digests.findOne({ tenantId, pending: { $exists: true } }), {
      what: 'the decision'
    })
    t.strictSame(of(tenantId), [])
    await second.stop()
    isFailing = true
    await serve()
    await until(() => of(tenantId).length > 0, { what: 'the mail' })
    isFailing = false
    await until(() => digests.findOne({ tenantId, pending: { $exists: false } }), { what: 'the handing over' })
    t.match(of(tenantId), [{ messageId: pending.pending.messageId, text: pending.pending.text }])
    const alert = await replica.store.connection.collection('alerts').findOne({ tenantId })
    t.notOk(alert && 'unmailed' in alert)
  })

  await t.test('nobody is mailed where the tenant names nobody, also not later of what was', async (t) => {
    const tenantId = newTenant()
    const api = await online(tenantId, ['a'])
    const first = await failJob(api, 'a')
    const alerts = replica.store.connection.collection('alerts')
    await until(() => alerts.findOne({ tenantId, unmailed: { $exists: false } }), { what: 'the decision' })
    await api.post('/v1/settings', { alertMailTo: addresses })
    const later = await failJob(api, 'a')
    await until(() => of(tenantId).length > 0, { what: 'the mail of the second' })
    t.match(of(tenantId)[0]?.text, `job: ${later}\n`)
    t.notMatch(of(tenantId)[0]?.text, `job: ${first}\n`)
  })
})

t.test('the mail of many alerts is bounded and has one line as its subject', (t) => {
  const alert = { tenantId: 't', kind: 'JOB_FAILED' as const, subjectId: 1, raisedAt: 0 }
  const digest = { _id: 't', tenantId: 't', count: 4, nextAt: 0 }
  const many = Array.from({ length: 300 }, (_, i) => ({ ...alert, _id: `${i}`, message: 'x'.repeat(5000) }))
  const mail = mailOf(digest, many, ['a@example.com'])
  t.match(mail, { messageId: 'alerts:t:5', subject: '[Fleetgate] 300 alerts', text: /and 200 more/ })
  t.ok(mail.text.length < 100_000)
  t.equal(mail.alertIds.length, 300)
  const [first] = many
  if (!first) throw new Error('none')
  const hostile = mailOf(
    digest,
    [{ ...first, message: `a\r\nBcc: b@example.com${'y'.repeat(300)}` }],
    ['a@example.com']
  )
  t.match(hostile.subject, /^\[Fleetgate\] a Bcc: b@example.com/)
  t.ok(hostile.subject.length <= 200)
  t.end()
})
