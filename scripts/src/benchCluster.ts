import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startStack } from '@fleetgate/local'
import { createApi, type Session, type SshHost, startSshHosts, until } from '@fleetgate/testkit'
import { toTable } from './demo/table.js'

/**
 * The profile nats on test hosts, which are OpenSSH servers of their own on this machine where it is root: a cluster of two, then
 * one host more, that one away, many more at once, and all applied again. Usage: scripts/bench/cluster [--hosts 20]
 */
const { values } = parseArgs({ options: { hosts: { type: 'string', default: '20' } } })
const count = Number(values.hosts)
if (!Number.isInteger(count) || count < 1 || count > 60) throw new Error('--hosts must be a number from 1 to 60')

/** The bounds that the product promises. */
const mostTimesOne = 2
const longestNoOpMs = 5_000

interface Data<T> {
  data: T
}
interface Cluster {
  _id: string
  operationId: string
}
interface Operation {
  state: string
  message: string
  problems: object[]
  time_end?: string
}

const closing: (() => unknown)[] = []
const dataDir = mkdtempSync(join(tmpdir(), 'fleetgate-bench-'))
try {
  closing.push(() => rmSync(dataDir, { recursive: true, force: true }))
  const stack = await startStack({
    dataDir,
    services: ['auth', 'cluster-manager'],
    env: { LOG_LEVEL: 'warn', WATCH_MS: '3600000' }
  })
  closing.push(() => stack.stop())
  const auth = createApi(stack.urls.auth ?? '')
  await auth.register()
  const api = createApi(stack.urls['cluster-manager'] ?? '').as(await auth.login())
  const hosts = await startSshHosts({ teardown: (close) => closing.push(close) }, { count: count + 2 })
  console.log(hosts.isReal ? 'hosts: OpenSSH, each in namespaces of its own' : 'hosts: SSH servers in this process')
  await measure(api, hosts.hosts, Buffer.from(hosts.privateKey).toString('base64'))
} finally {
  for (const close of closing.reverse()) await close()
}

async function measure(api: Session, hosts: SshHost[], privateKey: string): Promise<void> {
  const nodes = hosts.map(({ address, port }) => ({ ip: address, sshPort: port, sshUser: 'root', privateKey }))
  const draft = {
    name: 'bench',
    profile: 'nats',
    createCategory: 'compact',
    masterNodes: nodes.slice(0, 1),
    sharedNodes: nodes.slice(1, 2)
  }
  const { data } = (await api.post<Data<Cluster>>('/v1/cluster', draft)).body
  const path = `/v1/cluster/${data._id}`
  await ended(api, path)

  const add = (from: number, to: number) =>
    timed(api, path, () => api.post(`${path}/hosts`, { pureslaveNodes: nodes.slice(from, to) }))
  const one = await add(2, 3)
  const listed = (await api.get<Data<{ hostId: string; ip: string }[]>>(`${path}/hosts`)).body.data
  const only = listed.find(({ ip }) => ip === hosts[2]?.address)
  await timed(api, path, () => api.delete(`${path}/hosts`, { host_ids: [only?.hostId] }))
  const many = await add(2, count + 2)
  const noOp = await timed(api, path, () => api.post(`${path}/apply`))
  const rows = [
    ['install 1 host', seconds(one), ''],
    [`install ${count} hosts at once`, seconds(many), `${(many / one).toFixed(2)} × one (bound ${mostTimesOne})`],
    [`apply to ${count + 2} hosts, nothing to do`, seconds(noOp), `bound ${seconds(longestNoOpMs)}`]
  ]
  for (const line of toTable(['what', 'time', ''], rows)) console.log(line)
  await timed(api, path, () => api.delete(path))
  if (many > mostTimesOne * one || noOp > longestNoOpMs) process.exitCode = 1
}

async function timed(
  api: Session,
  path: string,
  request: () => Promise<{ status: number; text: string }>
): Promise<number> {
  const start = performance.now()
  const reply = await request()
  if (reply.status !== 200) throw new Error(reply.text)
  await ended(api, path)
  return performance.now() - start
}

async function ended(api: Session, path: string): Promise<void> {
  const { operationId } = (await api.get<Data<Cluster>>(path)).body.data
  const operation = await until(
    async () => {
      const found = (await api.get<Data<Operation>>(`/v1/operations/${operationId}`)).body.data
      return found.time_end === undefined ? undefined : found
    },
    { what: `the end of operation ${operationId}`, deadlineMs: 300_000, everyMs: 50 }
  )
  if (operation.state !== 'SUCCESS') throw new Error(`${operation.message}: ${JSON.stringify(operation.problems)}`)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}
