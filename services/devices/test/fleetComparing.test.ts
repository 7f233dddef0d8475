import type { Machine } from '@fleetgate/kit'
import { quietLog } from '@fleetgate/testkit'
import t from 'tap'
import { createFleet } from '../src/fleet/fleet.js'
import { digestOf, machineKey } from '../src/fleet/machine.js'

/** What a comparison of a large fleet reads, and how it is broken off. */
const at = Date.UTC(2026, 4, 1, 12)
const machine = (clientId: number, attributes: Record<string, string> = {}): Machine => ({
  ...{ tenantId: 't1', clientId, mqttClientId: `m-${clientId}`, username: 'u', ip: '', enabled: true },
  ...{ role: 'CLIENT', status: 'ONLINE', attributes }
})
const machines = Array.from({ length: 1200 }, (_, index) => machine(index + 1))

function compared(options: { madeFrom: (key: string) => string | undefined; onPage?: (after: string) => void }) {
  const asked = { pages: [] as string[], read: [] as string[], noted: [] as string[] }
  const fleet = createFleet({
    bus: {
      request: async (_rpc: unknown, { after, limit }: { after: string; limit: number }) => {
        options.onPage?.(after)
        asked.pages.push(after)
        const begin = Number(after)
        const page = machines.slice(begin, begin + limit)
        const cursor = begin + limit < machines.length ? String(begin + limit) : undefined
        return { machines: page, takenAt: at, ...(cursor ? { cursor } : {}) }
      }
    } as never,
    devices: {
      madeFrom: async (_tenantId: string, keys: string[]) => new Map(keys.map((key) => [key, options.madeFrom(key)])),
      findByKeys: async (_tenantId: string, keys: string[]) => {
        asked.read.push(...keys)
        return keys.map((key) => ({ device: { id: key, key }, isUnsettled: false }))
      },
      noteMadeFrom: async (_tenantId: string, digests: ReadonlyMap<string, string>) => {
        asked.noted.push(...digests.keys())
      },
      listOfAll: async () => []
    } as never,
    entities: { findByKeys: async () => [], ensure: async () => undefined } as never,
    settle: async () => undefined as never,
    report: async () => [],
    log: quietLog,
    now: () => at
  })
  return { fleet, asked }
}

t.test('of a fleet that stays as it is only the digests are read', async (t) => {
  const digests = new Map(machines.map((one) => [machineKey(one), digestOf(one, at)]))
  const { fleet, asked } = compared({ madeFrom: (key) => digests.get(key) })
  await fleet.reconcile(new AbortController().signal)
  t.same(asked, { pages: ['', '500', '1000'], read: [], noted: [] })
})

t.test('a machine that is another one, or never came, is read and noted', async (t) => {
  const digests = new Map(machines.map((one) => [machineKey(one), digestOf(one, at)]))
  const [changed = '', fresh = ''] = [machineKey(machine(7)), machineKey(machine(1100))]
  digests.set(changed, digestOf(machine(7, { os: 'linux' }), at))
  digests.delete(fresh)
  const { fleet, asked } = compared({ madeFrom: (key) => digests.get(key) })
  await fleet.reconcile(new AbortController().signal)
  t.same(asked.noted, [changed, fresh])
  t.same(new Set(asked.read), new Set([changed, fresh]))
})

t.test('a digest is another one with each change, and once a day', async (t) => {
  const digest = digestOf(machine(7), at)
  t.equal(digestOf(machine(7), at + 1), digest)
  t.not(digestOf(machine(7, { os: 'linux' }), at), digest)
  t.not(digestOf({ ...machine(7), status: 'OFFLINE' }, at), digest)
  t.not(digestOf(machine(7), at + 86_400_000), digest)
  const minutes = (id: number) => {
    for (let minute = 0; minute < 1440; minute++)
      if (digestOf(machine(id), at + minute * 60_000) !== digestOf(machine(id), at)) return minute
    return 1440
  }
  t.not(minutes(1), minutes(700), 'not all in one minute')
})

t.test('a service that stops does not wait for the end of a comparison', async (t) => {
  const stopping = new AbortController()
  const { fleet, asked } = compared({
    madeFrom: () => undefined,
    onPage: (after) => after === '500' && stopping.abort()
  })
  await t.rejects(fleet.reconcile(stopping.signal))
  t.same(asked.pages, ['', '500'])
})
