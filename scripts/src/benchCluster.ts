import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { startStack } from '@fleetgate/local'
import { createApi, type Session, type SshHost, startSshHosts, until } from '@fleetgate/testkit'
import { measurePlainSsh } from './cluster/plainSsh.js'
import { toTable } from './demo/table.js'

/**
 * The profile nats on test hosts, which are OpenSSH servers of their own on this machine where it is root: a cluster of two, then
 * one host more, that one away, many more at once, and all applied again. Hosts of a fleet have processors of their own: each
 * has `--cores` here, however many there are, by default half of the machine's shared out.
 * Then the same where all share what the machine has, and beside it what the least of it takes there without us. The bounds are those
 * of both. Usage: scripts/bench/cluster [--hosts 20] [--cores 0.05]
 */
const { values } = parseArgs({ options: { hosts: { type: 'string', default: '20' }, cores: { type: 'string' } } })
const count = Number(values.hosts)
if (!Number.isInteger(count) || count < 1 || count > 60) throw new Error('--hosts must be a number from 1 to 60')

const cores = Number(values.cores ?? availableParallelism() / 2 / count)
if (!(cores > 0 && cores <= 1)) throw new Error('--cores must be a number above 0, and at most 1')

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
interface ListedHost {
  hostId: string
  ip: string
  status: string
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
  const hosts = await startSshHosts(
    { teardown: (close) => closing.push(close) },
    { count: count + 2, cpuGroup: basename(dataDir) }
  )
  console.log(hosts.isReal ? 'hosts: OpenSSH, each in namespaces of its own' : 'hosts: SSH servers in this process')
  const pid = stack.processes().find(({ name }) => name.startsWith('cluster-manager'))?.pid ?? 0
  const cpu = async () => ({ own: ownCpu(pid), hosts: hosts.isReal ? await hostsCpu(hosts.hosts) : Number.NaN })
  const privateKey = Buffer.from(hosts.privateKey).toString('base64')
  const nodes = hosts.hosts.map(({ address, port }) => ({ ip: address, sshPort: port, sshUser: 'root', privateKey }))
  const bench = { api, nodes, cpu }
  const isBounded = hosts.boundCpu(cores)
  if (!isBounded) console.log('control groups cannot be made here, so all hosts share the processors of this machine')
  const path = await createCluster(bench)
  if (isBounded) {
    report(`each host has ${cores} of a core of its own`, await measure(bench, path))
    hosts.boundCpu()
  }
  const title = `all hosts and all else share ${availableParallelism()} cores`
  const shared = await measure(bench, path)
  report(title, shared, hosts.isReal ? await measurePlainSsh(hosts, hosts.hosts.slice(2)) : undefined)
  await timed(api, path, () => api.delete(path))
} finally {
  for (const close of closing.reverse()) await close()
}

interface Bench {
  api: Session
  nodes: { ip: string }[]
  cpu: () => Promise<Cpu>
}

interface Counted {
  ms: number
  /** Processor time per host: of the cluster-manager, and of the host itself. */
  cells: string[]
}

interface Measured {
  one: Counted
  many: Counted
  noOp: Counted
}

async function createCluster({ api, nodes }: Bench): Promise<string> {
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
  return path
}

/** The cluster has its first two hosts before and after. */
async function measure({ api, nodes, cpu }: Bench, path: string): Promise<Measured> {
  async function counted(share: number, request: () => Promise<{ status: number; text: string }>): Promise<Counted> {
    const before = await cpu()
    const ms = await timed(api, path, request)
    const { own, hosts } = await cpu()
    const each = (used: number) => (Number.isNaN(used) ? '' : `${Math.round(used / share)} ms`)
    return { ms, cells: [each(own - before.own), each(hosts - before.hosts)] }
  }
  const add = (from: number, to: number) =>
    counted(to - from, () => api.post(`${path}/hosts`, { pureslaveNodes: nodes.slice(from, to) }))
  const remove = async (from: number, to: number) => {
    const listed = (await api.get<Data<ListedHost[]>>(`${path}/hosts`)).body.data
    const addresses = nodes.slice(from, to).map(({ ip }) => ip)
    // Those that went before are listed still.
    const there = listed.filter(({ ip, status }) => addresses.includes(ip) && status !== 'TERMINATED')
    const hostIds = there.map(({ hostId }) => hostId)
    await timed(api, path, () => api.delete(`${path}/hosts`, { host_ids: hostIds }))
  }
  const one = await add(2, 3)
  await remove(2, 3)
  const many = await add(2, count + 2)
  const noOp = await counted(count + 2, () => api.post(`${path}/apply`))
  await remove(2, count + 2)
  return { one, many, noOp }
}

function report(title: string, { one, many, noOp }: Measured, plain?: { one: number; many: number }): void {
  const times = (of: number, single: number) => `${(of / single).toFixed(2)} × one`
  const rows = [
    ['install 1 host', seconds(one.ms), ...one.cells, ''],
    [
      `install ${count} hosts at once`,
      seconds(many.ms),
      ...many.cells,
      `${times(many.ms, one.ms)} (bound ${mostTimesOne})`
    ],
    [`apply to ${count + 2} hosts, nothing to do`, seconds(noOp.ms), ...noOp.cells, `bound ${seconds(longestNoOpMs)}`]
  ]
  if (plain) {
    rows.push(['ssh alone, 1 host: unpack and start', seconds(plain.one), '', '', ''])
    const row = [`ssh alone, ${count} hosts at once`, seconds(plain.many), '', '', times(plain.many, plain.one)]
    rows.push(row)
  }
  console.log(`\n${title}`)
  for (const line of toTable(['what', 'time', 'CPU per host: ours', 'its own', ''], rows)) console.log(line)
  if (many.ms > mostTimesOne * one.ms || noOp.ms > longestNoOpMs) process.exitCode = 1
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

/** CPU milliseconds used so far. */
interface Cpu {
  own: number
  hosts: number
}

/** From hundredths of a second: words 14 and 15 of its line (proc(5)); of hosts also 16 and 17, what has ended since. */
function ownCpu(pid: number): number {
  const words = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return words.slice(11, 13).reduce((sum, word) => sum + Number(word) * 10, 0)
}

async function hostsCpu(hosts: SshHost[]): Promise<number> {
  const line = `cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk '{ t += $12 + $13 + $14 + $15 } END { print t * 10 }'`
  const used = await Promise.all(hosts.map((host) => host.run(line)))
  return used.reduce((sum, ms) => sum + Number(ms), 0)
}
