import { type RunningService, type SshHost, startService } from '@fleetgate/testkit'
import t from 'tap'
import { type ClusterView, clusterEnv, draft, holdInstallation, startProcesses } from './clusterSupport.js'
import type { Reply } from './support.js'

const { parts, hosts, services, sessionOf, token } = await startProcesses(t, { count: 2 })
const service = services[0] as RunningService
const api = sessionOf(service)
const nowhere = 'http://127.0.0.1:1'
const gateway = await startService(t, {
  name: 'gateway',
  parts,
  env: {
    ...clusterEnv,
    AUTH_URL: nowhere,
    DEVICES_URL: nowhere,
    SCHEDULER_URL: nowhere,
    BROKER_PROXY_URL: nowhere,
    CLUSTER_MANAGER_URL: service.url
  }
})

/** Reads on until this was said, or to the end. */
async function readUntil(said: AsyncIterator<string>, isIt: (text: string) => boolean): Promise<string> {
  let text = ''
  while (!isIt(text)) {
    const { value, done } = await said.next()
    if (done) break
    text += value
  }
  return text
}

await t.test(
  'through the gateway events come as they happen, with a comment where nothing does, to the end',
  async (t) => {
    const hold = holdInstallation(hosts.hosts[1] as SshHost)
    await hold.begin()
    const made = await api.post<Reply<ClusterView>>('/v1/cluster', draft(hosts, 'told', [1, 1]))
    t.equal(made.status, 200, made.text)
    const answer = await fetch(`${gateway.url}/v1/operations/${made.body.data.operationId}/events`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(120_000)
    })
    t.equal(answer.status, 200)
    t.match(answer.headers.get('content-type'), 'text/event-stream')
    const said = (answer.body as ReadableStream<Uint8Array>)
      .pipeThrough(new TextDecoderStream())
      [Symbol.asyncIterator]()
    await hold.met(1)
    const silent = await readUntil(said, (text) => text.includes(': still there\n\n'))
    const blocks = silent.split('\n\n').filter(Boolean)
    t.match(blocks.at(-1), ': still there', 'while the work stands still')
    t.ok(blocks.slice(0, -1).every((block) => /^event: operation\ndata: \{.*\}$/.test(block)))
    t.match(blocks.at(-2), /"phase":"install-1"/)
    t.notMatch(silent, /"time_end":"[^"]*"\}$/m)
    await hold.end()
    const rest = (await readUntil(said, () => false)).split('\n\n').filter(Boolean)
    t.match(rest.at(-1), /"state":"SUCCESS".*"time_end"/, 'it ends with the operation')
    t.match(rest.filter((block) => block.includes('"state":"SUCCESS"')).length, 1)
  }
)

await t.test('of an operation that has ended one event tells all', async (t) => {
  const [cluster] = (await api.get<Reply<ClusterView[]>>('/v1/cluster?name=told')).body.data
  const answer = await fetch(`${gateway.url}/v1/operations/${cluster?.operationId}/events`, {
    headers: { authorization: `Bearer ${token}` }
  })
  t.match(await answer.text(), /^event: operation\ndata: \{.*"state":"SUCCESS".*\}\n\n$/)
  const refused = await fetch(`${gateway.url}/v1/operations/${cluster?.operationId}/events`)
  t.equal(refused.status, 401)
})
