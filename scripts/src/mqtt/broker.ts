import { findStack } from '@fleetgate/local'
import { type Session, until } from '@fleetgate/testkit'
import type { Account } from '../demo/account.js'
import { get } from '../demo/client.js'
import { createMqttUser } from '../demo/machines.js'
import type { BareClientOptions } from '../fleet/bareClient.js'
import { memoryOf } from '../fleet/memory.js'

/** One side of the bench. */
export interface Broker {
  name: string
  /** Where its clients connect, and how they log in. */
  access: Pick<BareClientOptions, 'host' | 'port' | 'username' | 'password'>
  pid(): number | undefined
  /** Counts what has arrived of the reports from now on. */
  openSink(onLost: (reason: string) => void): Promise<Sink>
  /** Resolves when it knows that all clients of a round have gone. */
  settle(): Promise<void>
}

export interface Sink {
  count(): number | Promise<number>
  close(): void
}

/** Resident memory of the broker's process, bytes. */
export function residentBytes({ name, pid }: Broker): number {
  const [memory] = memoryOf([{ name, pid: pid() }])
  if (!memory) throw new Error(`${name}: the process is gone`)
  return memory.rss
}

interface Stack {
  mqttUrl: string
  dataDir: string
  processes(): { name: string; pid?: number | undefined }[]
}

const username = 'bench-clients'
const service = 'broker-proxy'

/** The embedded broker of a running stack. A report has arrived when it is in the stream. */
export async function ourBroker(account: Account, { mqttUrl, dataDir, processes }: Stack): Promise<Broker> {
  const password = await createMqttUser(account, username, { default_topic_perm: 'PUB|SUB' })
  const { hostname: host, port } = new URL(mqttUrl)
  const pages = await listPages(account.session)
  const before = await pages.count()
  const metricsUrl = `${findStack(dataDir)?.urls[service]}/metrics`
  return {
    name: 'Fleetgate',
    access: { host, port: Number(port || 1883), username, password },
    pid: () => processes().find(({ name }) => name === service)?.pid,
    async openSink() {
      const first = await storedReports(metricsUrl)
      return { count: async () => (await storedReports(metricsUrl)) - first, close: () => undefined }
    },
    async settle() {
      const what = 'all clients of the round to be offline'
      await until(async () => (await pages.count()) <= before, { what, deadlineMs: 60_000, everyMs: 200 })
    }
  }
}

async function storedReports(url: string): Promise<number> {
  const text = await (await fetch(url)).text()
  const found = /^mqtt_uplink_stored_total(?:\{.*\})? (\d+)$/m.exec(text)?.[1]
  if (found === undefined) throw new Error(`${url} does not say how many messages are stored`)
  return Number(found)
}

/** EMQ's lists of what is connected to the only node, each longer than there are clients. */
export const lists = ['clients', 'sessions', 'subscriptions', 'routes'] as const
export type ListName = (typeof lists)[number]

export interface Pages {
  path(list: ListName, page: number, size: number): string
  /** How many clients the broker's node lists as connected. */
  count(): Promise<number>
}

export async function listPages(session: Session): Promise<Pages> {
  const { result } = await get<{ result: { name: string }[] }>(session, '/api/v2/management/nodes')
  const node = `nodes/${encodeURIComponent(result[0]?.name ?? '')}`
  const path: Pages['path'] = (list, page, size) =>
    `/api/v2/${list === 'routes' ? list : `${node}/${list}`}?curr_page=${page}&page_size=${size}`
  return {
    path,
    async count() {
      const found = await get<{ result: { total_num: number } }>(session, path('clients', 1, 1))
      return found.result.total_num
    }
  }
}
