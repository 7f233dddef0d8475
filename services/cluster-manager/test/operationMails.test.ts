/** Whoever asked for an operation hears by mail how it ended. */
import type { CreatorsOf } from '@fleetgate/kit'
import { type ReceivedMail, sshKeyPair, startMailServer, until } from '@fleetgate/testkit'
import t from 'tap'
import type { Cluster } from '../src/clusters/cluster.js'
import { createNotices, type NoticeChoice, noticeOf } from '../src/operations/notice.js'
import { clusterOf, draft, ended, made, node, startProcesses } from './clusterSupport.js'
import { newDocument, newHost } from './machineSupport.js'
import type { Reply } from './support.js'

t.setTimeout(120_000)

t.test('over real hosts and a real SMTP server', async (t) => {
  const server = await startMailServer(t)
  const processes = await startProcesses(t, { count: 2, env: { MAIL_SWEEP_MS: '50' } })
  const { hosts, services, guardKeys, sessionOf } = processes
  const [service] = services
  if (!service) throw new Error('no service')
  const api = sessionOf(service)
  const [host] = hosts.hosts
  if (!host) throw new Error('no host')

  const arrived = async (count: number): Promise<ReceivedMail> => {
    await until(() => server.received.length >= count, { what: `mail ${count}` })
    return server.received.at(-1) as ReceivedMail
  }
  const remove = async (id: string) => {
    t.equal((await api.delete(`/v1/cluster/${id}`)).status, 200)
    t.equal((await ended(api, id)).state, 'SUCCESS')
  }

  await t.test('a tenant without an SMTP server has no mails', async (t) => {
    const { id, operation } = await made(api, draft(hosts, 'unheard', [1, 1]))
    t.equal(operation.state, 'SUCCESS', operation.message)
    await remove(id)
    t.same((await api.get<Reply<object[]>>('/v1/smtp/mails')).body.data, [])
  })

  const smtp = { name: 'fleet@example.com', address: 'localhost', port: server.port, security: 'none' }
  t.equal((await api.post('/v1/smtp', smtp)).status, 200)

  await t.test('one that failed, with what is wrong, and its retry', async (t) => {
    const privateKey = Buffer.from(sshKeyPair().private).toString('base64')
    const wrong = { ...draft(hosts, 'locked', [1, 1]), masterNodes: [node(hosts, host, { privateKey })] }
    const { id, operation } = await made(api, wrong)
    t.equal(operation.state, 'FAILED')
    const mail = await arrived(1)
    t.same(mail.to, ['ann@example.com'])
    t.match(mail.source, /^Subject: \[Fleetgate\] Cluster locked: installation failed\r$/m)
    t.match(mail.source, new RegExp(`^${host.address}: .*refuses the login`, 'm'))
    t.match(mail.source, `/v1/operations/${operation.id}`)
    t.notMatch(mail.source, privateKey.slice(0, 60), 'no key travels by mail')
    const codes = ['cluster.view', 'cluster.edit']
    const eve = sessionOf(service, guardKeys.token({ userId: 'eve', email: 'eve@example.com', codes }))
    t.equal((await eve.post(`/v1/operations/${operation.id}/retry`)).status, 200)
    t.match(await ended(api, id), { state: 'FAILED', attempt: 2 })
    const second = await arrived(2)
    t.match(second.source, /^attempt: 2\r$/m)
    t.match(second.source, /^asked for by: eve@example.com\r$/m)
    t.same(second.to, ['eve@example.com', 'ann@example.com'])
    await remove(id)
    t.match((await arrived(3)).source, /Cluster locked: removal finished/)
  })

  await t.test('ones that finished, each once', async (t) => {
    const { id } = await made(api, draft(hosts, 'shop', [1, 1]))
    t.match((await arrived(4)).source, /Cluster shop: installation finished/)
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const origin = { 'x-request-id': 'apply-it', traceparent: `00-${traceId}-00f067aa0ba902b7-01` }
    t.equal((await api.post(`/v1/cluster/${id}/apply`, undefined, origin)).status, 200)
    t.equal((await ended(api, id)).state, 'SUCCESS')
    t.match((await arrived(5)).source, /Cluster shop: apply finished/)
    const said = () => linesOf(service.output()).filter(({ requestId }) => requestId === 'apply-it')
    await until(() => said().some(({ msg }) => msg === 'mail sent'), { what: 'the line of the mail' })
    const lines = new Map(said().map(({ msg, span_id }) => [msg, span_id]))
    t.same([...lines.keys()].sort(), ['mail sent', 'operation ended', 'operation taken up', 'request'])
    t.ok(said().every(({ trace_id }) => trace_id === traceId))
    t.equal(lines.get('operation taken up'), lines.get('operation ended'))
    t.equal(new Set(lines.values()).size, 3, 'request, operation and mail have a span each')
    await remove(id)
    t.match((await arrived(6)).source, /Cluster shop: removal finished/)
    t.equal((await clusterOf(api, id)).status, 'TERMINATED')
    const { data } = (await api.get<Reply<{ state: string }[]>>('/v1/smtp/mails')).body
    t.same(
      data.map(({ state }) => state),
      Array.from({ length: 6 }, () => 'SENT')
    )
  })
})

function linesOf(output: string): Record<string, string>[] {
  const lines = output.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Record<string, string>)
}

const ended1: Cluster = newDocument('openstack', '', [newHost(1)])

const nobodyKnown: CreatorsOf = async () => new Map()

interface End {
  choice?: NoticeChoice
  owner?: string
  creatorsOf?: CreatorsOf
}

/** What is kept of an end, where it is told of twice. */
async function kept(change: Partial<Cluster['operation']>, end: End = {}) {
  const { choice = 'all', owner = 'olaf@example.com', creatorsOf = nobodyKnown } = end
  const mails: { messageId: string; to: string[] }[] = []
  const keep = async (mail: { messageId: string; to: string[] }) => ({ isNew: mails.push(mail) > 0 })
  const notify = createNotices({ smtp: { hasServer: async () => true }, mails: { keep }, creatorsOf, choice })
  const operation = { ...ended1.operation, ...change }
  const cluster = { ...ended1, userId: 'olaf', owner, operation }
  await notify(cluster)
  await notify(cluster)
  return mails
}

t.test('owner and who asked are told, those without an address are not', async (t) => {
  const by = { userId: 'ann', name: 'ann@example.com' }
  const [first, second] = await kept({ state: 'SUCCESS', by })
  t.same(first?.to, ['ann@example.com', 'olaf@example.com'])
  t.equal(first?.messageId, second?.messageId, 'the same end is the same mail')
  const again = await kept({ state: 'SUCCESS', by, attempt: 2 })
  t.not(again[0]?.messageId, first?.messageId, 'a retry ends anew')
  t.same((await kept({ state: 'SUCCESS', by: { userId: 'token', name: 'a token' } }))[0]?.to, ['olaf@example.com'])
  t.same(await kept({ state: 'SUCCESS', by: { userId: 'token', name: 'a token' } }, { owner: 'nobody' }), [])
})

t.test('they are told at the addresses that they have by now, and who was deleted is not', async (t) => {
  const by = { userId: 'ann', name: 'ann@example.com' }
  const toOf = async (creatorsOf: CreatorsOf) => (await kept({ state: 'SUCCESS', by }, { creatorsOf }))[0]?.to
  const user = (id: string, isDeleted = false) => ({ id, nickname: id, email: `${id}@new.example.com`, isDeleted })
  t.same(await toOf(async () => new Map([['ann', user('ann')]])), ['ann@new.example.com', 'olaf@example.com'])
  t.same(await toOf(async () => new Map([['ann', user('ann', true)]])), ['olaf@example.com'])
  const gone = new Map(['ann', 'olaf'].map((id) => [id, user(id, true)]))
  t.same(await toOf(async () => gone), undefined, 'and nobody is no mail')
  t.same(await toOf(async () => undefined), ['ann@example.com', 'olaf@example.com'], 'auth is away')
})

t.test('OPERATION_MAILS', async (t) => {
  const by = { userId: 'ann', name: 'ann@example.com' }
  for (const [choice, state, count] of [
    ['failed', 'SUCCESS', 0],
    ['failed', 'CANCELLED', 0],
    ['failed', 'FAILED', 2],
    ['none', 'FAILED', 0],
    ['all', 'CANCELLED', 2]
  ] as const) {
    t.equal((await kept({ state, by }, { choice })).length, count, `${choice}: ${state}`)
  }
})

t.test('what hosts and people wrote stays on its line, and is bounded', async (t) => {
  const message = `a\r\nBcc: x@example.com\n${'long '.repeat(1_000)}`
  const problems = Array.from({ length: 300 }, (_, index) => ({ ip: index === 0 ? '' : `10.0.0.${index}`, message }))
  const operation = { ...ended1.operation, state: 'FAILED' as const, message, problems }
  const { subject, text } = noticeOf({ ...ended1, name: `n${'a'.repeat(300)}`, operation })
  t.equal(subject.length, 200)
  t.ok(text.length < 100_000, `${text.length} characters`)
  t.notMatch(text, /^Bcc/m)
  t.match(text, /^and 200 more$/m)
})
