import { matches } from '../../src/broker/topics.js'
import type { Call } from './restApi.js'
import type { StandIn } from './standIn.js'

export type Answer = [status: number, body?: unknown]

/** What is not about one client, as the documents of EMQX 5.x show it. */
export async function answerList(standIn: StandIn, { method, path, query }: Call): Promise<Answer> {
  const place = `${method} /${path.join('/')}`
  if (place === 'GET /subscriptions') {
    const found = await Promise.all(
      standIn
        .sessions()
        .map(async (one) =>
          (await standIn.subscriptionsOf(one)).map((row) => ({ node: standIn.node, clientid: one.client.id, ...row }))
        )
    )
    // Durable sessions came with 5.6, and with them lists that are not counted.
    return pageOf(standIn, query, { rows: found.flat(), isCounted: standIn.version < 5.6 })
  }
  if (place === 'GET /mqtt/retainer/messages') {
    return retained(standIn, query)
  }
  if (place === 'GET /alarms') {
    const rows = query.get('activated') === 'true' ? standIn.alarms : []
    return pageOf(standIn, query, { rows, isCounted: true })
  }
  if (place === 'GET /listeners') return [200, listeners(standIn)]
  if (place === 'GET /nodes') return [200, nodes(standIn)]
  if (place === 'GET /metrics') return [200, figures(query, { ...standIn.metrics })]
  return [404, { code: 'NOT_FOUND', message: 'Request Path Not Found' }]
}

/** One page of a list; the largest that may be asked for has grown. */
export function pageOf(
  { version }: StandIn,
  query: URLSearchParams,
  { rows, isCounted }: { rows: unknown[]; isCounted: boolean }
): Answer {
  const page = Number(query.get('page') ?? 1)
  const limit = Number(query.get('limit') ?? 100)
  const most = version < 5.5 ? 1000 : 10_000
  if (!(page >= 1 && limit >= 1 && limit <= most)) return [400, { code: 'BAD_REQUEST', message: 'page_limit_invalid' }]
  const data = rows.slice((page - 1) * limit, page * limit)
  const count = isCounted ? { count: rows.length } : {}
  return [200, { data, meta: { page, limit, hasnext: page * limit < rows.length, ...count } }]
}

/** EMQX retains things of its own. Until 5.4 it lists everything, whatever is asked for, and does not say whether there is more. */
function retained(standIn: StandIn, query: URLSearchParams): Answer {
  const { node, version } = standIn
  const own = ['', `/${node}/version`, `/${node}/sysdescr`].map((rest) => `$SYS/brokers${rest}`)
  const filter = version < 5.5 ? undefined : (query.get('topic') ?? '#')
  const rows = [...own, ...standIn.retained]
    .filter((topic) => filter === undefined || matches(filter, topic))
    .map((topic) => ({ topic, qos: 1 }))
  const [status, page] = pageOf(standIn, query, { rows, isCounted: filter === undefined || filter === '#' })
  if (filter !== undefined || status !== 200) return [status, page]
  const { data, meta } = page as { data: unknown[]; meta: { hasnext: boolean } }
  const { hasnext: _unsaid, ...said } = meta
  return [status, { data, meta: said }]
}

function listeners({ node, sessions }: StandIn) {
  const row = (id: string, fields: object, isRunning = true) => {
    const [type, name] = id.split(':')
    const isOwn = name === 'fleetgate'
    const current = sessions().filter(({ rights, isConnected }) => isConnected && rights.isSuperuser === isOwn).length
    const status = { running: isRunning, current_connections: isRunning ? current : 0, max_connections: 'infinity' }
    const shown = { id, type, name, enable: isRunning, number: 1, acceptors: 16, status, ...fields }
    return { ...shown, node_status: [{ node, status: shown.status }] }
  }
  const limited = { status: { running: true, current_connections: 0, max_connections: 1_024_000 } }
  return [
    row('tcp:default', { bind: '0.0.0.0:1883', ...limited }),
    row('tcp:fleetgate', { bind: ':11883' }),
    row('ssl:default', { bind: '0.0.0.0:8883' }, false)
  ]
}

/** Two that run, in the middle of an upgrade, and one that has stopped. */
function nodes({ node, version, clients }: StandIn) {
  const row = {
    node,
    version: `${version}.0`,
    node_status: 'running',
    role: 'core',
    edition: 'Opensource',
    uptime: 5_120_000,
    otp_release: '24.2/12.2',
    memory_total: '512.00M',
    memory_used: '256.50M',
    process_available: 2_097_152,
    process_used: 500,
    connections: clients.size,
    // From 5.1 on.
    ...(version < 5.1 ? {} : { live_connections: clients.size, cluster_sessions: clients.size }),
    max_fds: 1024,
    // Numbers from 5.0.12 or so, texts before.
    load1: version < 5.1 ? '1.50' : 1.5,
    load5: 0.25,
    load15: 0.1,
    log_path: 'log.file.enable is false, not logging to file.',
    sys_path: '/opt/emqx'
  }
  const newer = { ...row, node: 'emqx@newer', version: '5.10.1', otp_release: '27.3.4/15.2', uptime: 60_000 }
  return [
    { ...newer, memory_total: '1.50G', memory_used: '256.00M', load1: 0.4, load15: 0.3 },
    row,
    { node: 'emqx@gone', node_status: 'stopped', role: 'core' }
  ]
}

/** Summed up over the nodes where that is asked for, else one object of each node. */
function figures(query: URLSearchParams, numbers: Record<string, number>): unknown {
  return query.get('aggregate') === 'true' ? numbers : [{ node: 'emqx@127.0.0.1', ...numbers }]
}
