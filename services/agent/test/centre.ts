import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import {
  type BlocksRequest,
  blockSize,
  blockTopic,
  type CastJoin,
  castBlockTopic,
  castFilter,
  downTopic,
  type ExecutionCommand,
  type FileQuery,
  type Hello,
  type Offer,
  type Received,
  type Report,
  type ReportEvent,
  type Staged,
  type Step
} from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import type { Connection } from '../src/connection.js'
import { clientId } from './bare.js'

/** The other end of the wire: takes what the agent publishes, and is a small file store. */
export interface Centre {
  /** What the agent has published, before any acknowledgement. */
  published(topic: string, payload: Buffer): Promise<void>
  send: (topic: string, payload: Buffer) => void
  readonly reports: Report[]
  readonly staged: Staged[]
  readonly hellos: Hello[]
  readonly offers: Offer[]
  readonly received: Received[]
  readonly joins: CastJoin[]
  /** Filters beyond the machine's own. */
  readonly filters: Set<string>
  readonly names: string[]
  readonly topics: string[]
  readonly store: Map<string, Buffer>
  /** Decides about one block before it is sent; false loses it. */
  passBlock: (index: number) => boolean
  /** Decides about an acknowledgement; false loses it. */
  acknowledges: (topic: string) => boolean
  /** Events of an attempt in order of seq, repeats left out. */
  events(executionId: string, attempt?: number): ReportEvent[]
}

export function createCentre(): Centre {
  const uploads = new Map<string, Map<number, Buffer>>()
  const packed = new Set<string>()
  const centre: Centre = {
    reports: [],
    staged: [],
    hellos: [],
    offers: [],
    received: [],
    joins: [],
    filters: new Set(),
    names: [],
    topics: [],
    store: new Map(),
    send: () => undefined,
    passBlock: () => true,
    acknowledges: () => true,
    published: async (topic, payload) => {
      centre.topics.push(topic)
      if (topic.startsWith('$file/')) return takeUpload(topic, payload)
      const message = payload.length > 0 ? JSON.parse(payload.toString()) : undefined
      if (topic.endsWith('/up/report')) centre.reports.push(message)
      if (topic.endsWith('/up/staged')) centre.staged.push(message)
      if (topic.endsWith('/up/hello')) centre.hellos.push(message)
      if (topic.endsWith('/up/offer')) centre.offers.push(message)
      if (topic.endsWith('/up/received')) centre.received.push(message)
      if (topic.endsWith('/up/cast-join')) centre.joins.push(message)
      if (topic.endsWith('/up/blocks')) sendBlocks(message)
      if (topic.endsWith('/up/file-query')) answer(message)
    },
    events: (executionId, attempt = 1) => {
      const found = new Map<number, ReportEvent>()
      for (const report of centre.reports) {
        if (report.executionId !== executionId || report.attempt !== attempt) continue
        for (const event of report.events) found.set(event.seq, event)
      }
      return [...found.values()].sort((a, b) => a.seq - b.seq)
    }
  }

  function sendJson(channel: 'file-info', message: object): void {
    centre.send(downTopic(clientId, channel), Buffer.from(JSON.stringify(message)))
  }

  function sendBlocks({ sha256, blocks, gzip }: BlocksRequest): void {
    const content = centre.store.get(sha256)
    if (!content) sendJson('file-info', { sha256, stored: false, blockSize, error: 'no such content' })
    for (const index of content ? blocks : []) {
      const bytes = (content ?? Buffer.alloc(0)).subarray(index * blockSize, (index + 1) * blockSize)
      const small = gzip ? gzipSync(bytes) : bytes
      const isGzip = small.length < bytes.length
      const topic = blockTopic(clientId, { sha256, index, blockSha256: hashOf(bytes), isGzip })
      if (centre.passBlock(index)) centre.send(topic, isGzip ? small : bytes)
    }
  }

  function answer({ requestId, sha256, fileId = '' }: FileQuery): void {
    const received = [...(uploads.get(fileId)?.keys() ?? [])]
    sendJson('file-info', { requestId, sha256, stored: centre.store.has(sha256), blockSize, received, takesGzip: true })
  }

  function takeUpload(topic: string, payload: Buffer): void {
    const [, fileId = '', what = '', ...rest] = topic.split('/')
    const parts = uploads.get(fileId) ?? new Map<number, Buffer>()
    uploads.set(fileId, parts)
    if (what === 'init') {
      const { name, encoding } = JSON.parse(payload.toString())
      if (encoding === 'gzip') packed.add(fileId)
      return void centre.names.push(name)
    }
    if (what !== 'fin') return void parts.set(Number(what), packed.has(fileId) ? gunzipSync(payload) : payload)
    const content = Buffer.concat([...parts].sort(([a], [b]) => a - b).map(([, part]) => part))
    if (content.length === Number(rest[0]) && hashOf(content) === rest[1]) centre.store.set(hashOf(content), content)
  }

  return centre
}

/** A connection of the agent to the centre within one process, which can be cut and made again. */
export interface Wire extends Connection {
  up(): void
  down(): void
}

export function createWire(centre: Centre): Wire {
  const onConnect: (() => void)[] = []
  const onMessage: ((topic: string, payload: Buffer) => Promise<void>)[] = []
  let isUp = false
  let line = Promise.resolve()
  let cuts: ((error: Error) => void)[] = []
  centre.send = (topic, payload) => {
    if (!isUp) return
    line = line.then(async () => {
      for (const listener of onMessage) await listener(topic, payload)
    })
  }
  const wire: Wire = {
    publish: (topic, payload) =>
      new Promise((resolve, reject) => {
        if (!isUp) return reject(new Error('not connected'))
        cuts.push(reject)
        // As over a socket: nothing comes back before the caller goes on.
        setImmediate(() => {
          void centre.published(topic, Buffer.from(payload)).then(() => {
            if (isUp && centre.acknowledges(topic)) resolve()
          })
        })
      }),
    subscribe: async (filter) => {
      if (!isUp) throw new Error('not connected')
      centre.filters.add(filter)
    },
    unsubscribe: async (filter) => void centre.filters.delete(filter),
    isConnected: () => isUp,
    onConnect: (handle) => void onConnect.push(handle),
    onMessage: (handle) => void onMessage.push(handle),
    start: () => wire.up(),
    up: () => {
      isUp = true
      for (const listener of onConnect) listener()
    },
    down: () => {
      isUp = false
      centre.filters.clear()
      for (const cut of cuts.splice(0)) cut(new Error('connection lost'))
    },
    close: async () => wire.down()
  }
  cuts = []
  return wire
}

/** Sends blocks of a cast, in the order of these indexes, to who has subscribed. */
export function sendCast(centre: Centre, castId: string, content: Buffer, indexes: number[], isGzip = false): void {
  if (!centre.filters.has(castFilter(castId))) return
  for (const index of indexes) {
    const bytes = content.subarray(index * blockSize, (index + 1) * blockSize)
    const topic = castBlockTopic(castId, { sha256: hashOf(content), index, blockSha256: hashOf(bytes), isGzip })
    centre.send(topic, isGzip ? gzipSync(bytes) : bytes)
  }
}

export function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** A step with the fields that every step has. */
export function step(scriptId: number, type: Step['type'], fields: Partial<Step> = {}): Step {
  return {
    scriptId,
    type,
    order: scriptId,
    block: true,
    retryTimes: 0,
    retryInterval: 0,
    overWrite: 'OVERWRITE',
    ...fields
  }
}

export function command(
  executionId: string,
  scripts: Step[],
  fields: Partial<ExecutionCommand> = {}
): ExecutionCommand {
  const tasks = [{ taskId: 1, name: 'task', order: 1, scripts }]
  return { executionId, runId: 'run', jobId: 1, attempt: 1, epoch: 1, tasks, sources: {}, ...fields }
}

export function sendCommand(centre: Centre, message: object): void {
  centre.send(downTopic(clientId, 'execution'), Buffer.from(JSON.stringify(message)))
}

/** `kind scriptId status`, as far as the event has them. */
export function short(events: ReportEvent[]): string[] {
  return events.map(({ kind, scriptId, status }) =>
    [kind, scriptId, status].filter((part) => part !== undefined).join(' ')
  )
}

export async function finished(centre: Centre, executionId: string, attempt = 1) {
  await until(() => centre.events(executionId, attempt).at(-1)?.kind === 'FINISHED', {
    what: `the end of ${executionId}`
  })
  return centre.events(executionId, attempt)
}

/** Content in the centre's store, as a SEND_FILE source. */
export function offer(centre: Centre, bytes: Buffer) {
  centre.store.set(hashOf(bytes), bytes)
  return { files: [{ path: '', sha256: hashOf(bytes), size: bytes.length }] }
}
