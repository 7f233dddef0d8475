import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import {
  type Call,
  type CloudProblem,
  type Driver,
  groupName,
  type Machine,
  type MachineGroup
} from '../../src/providers/driver.js'

/** One account at a cloud, be it real or one of ours, with nothing of ours in it. */
export interface Account {
  /** Its driver, with some fields of the settings changed. */
  open(change?: Record<string, string>): Promise<Driver>
  /** Fields that are refused: first a log-in, then names of what is not there. */
  wrong: Record<string, string>[]
  /** Whether two orders with one tag make two machines, as at Nova. */
  isTwice: boolean
  secrets: RegExp
  publicKey: string
  addresses: RegExp
  /** How long to wait between two looks. */
  pollMs: number
  /** From now on lists have pages of so many. */
  page(size: number): void
  expireTokens(): void
}

export const call: Call = { signal: new AbortController().signal }
export const clusterId = '59bb43f8284ae3000bf663ea'

export function groupFor(publicKey: string, cluster = clusterId): MachineGroup {
  return { clusterId: cluster, name: groupName(cluster), publicKey, ports: [22, 1883], from: '198.51.100.0/24' }
}

export function specFor(group: MachineGroup, at: number) {
  return { tag: `59bb43f8284ae3000bf6630${at}-1`, name: `h-0000000${at}-till`, group }
}

export async function problemOf(work: Promise<unknown>): Promise<CloudProblem | undefined> {
  return work.then(
    () => undefined,
    (error: CloudProblem) => error
  )
}

const longestMs = 180_000

/** The machine as it reaches the state; undefined is for gone. */
export async function reached(driver: Driver, id: string, state: Machine['state'] | undefined, pollMs = 1) {
  for (const until = Date.now() + longestMs; Date.now() < until; await delay(pollMs)) {
    const found = await driver.get(id, call)
    if (state === undefined ? !found || found.state === 'GONE' : found?.state === state) return found
  }
  throw new Error(`${id} does not become ${state ?? 'gone'}`)
}

/** What every driver does at every cloud, whatever that shows from inside; everything is taken away again. */
export async function conformance(t: Test, account: Account): Promise<void> {
  const { pollMs } = account
  const driver = await account.open()
  const group = groupFor(account.publicKey)
  const spec = (at: number) => specFor(group, at)
  const ready = async (of: MachineGroup) => {
    await driver.ensureKey(of, call)
    await driver.ensureNetworkAccess(of, call)
  }
  const tags = async () => (await driver.list(clusterId, call)).map(({ tag }) => tag).sort()
  const away = async (machines: readonly Machine[]) => {
    for (const machine of machines) await driver.destroy(machine, call)
    for (const { id } of machines) await reached(driver, id, undefined, pollMs)
  }

  await t.test('tells whether log-in and settings are good', async (t) => {
    await driver.validate(call)
    for (const [at, change] of account.wrong.entries()) {
      const found = await problemOf((await account.open(change)).validate(call))
      t.equal(found?.kind, at === 0 ? 'credentials' : 'invalid', `${JSON.stringify(change)}: ${found?.message}`)
      t.notMatch(found?.message, account.secrets)
      t.notMatch(found?.message, /it answered/, 'with a reason')
    }
  })

  await t.test('makes a machine, and tells where it is', async (t) => {
    await ready(group)
    await ready(group)
    const made = await driver.create(spec(1), call)
    t.match(made, { tag: spec(1).tag, state: /^(PENDING|RUNNING)$/ })
    const running = (await reached(driver, made.id, 'RUNNING', pollMs)) as Machine
    const placed = await driver.ensureAddress(running, call)
    t.match(placed, {
      id: made.id,
      tag: spec(1).tag,
      address: account.addresses,
      privateAddress: /^\d+\.\d+\.\d+\.\d+$/
    })
    t.match(await driver.ensureAddress(running, call), { address: placed.address }, 'one address')
    t.match(await driver.find(spec(1), call), [{ id: made.id, tag: spec(1).tag }])
    t.same(await driver.find(spec(9), call), [])
    t.same(await driver.find({ ...spec(1), tag: `${clusterId}-7` }, call), [], 'the tag decides, not the name')
  })

  await t.test('two drivers that do the same at once share what they make', async (t) => {
    const [first] = await driver.find(spec(1), call)
    const other = await account.open()
    await Promise.all([driver, other].map((one) => one.ensureKey(group, call)))
    await Promise.all([driver, other].map((one) => one.ensureNetworkAccess(group, call)))
    const placed = await Promise.all([driver, other].map((one) => one.ensureAddress(first as Machine, call)))
    t.equal(placed[0]?.address, placed[1]?.address)
    if (account.isTwice) return
    const twice = await Promise.all([driver, other].map((one) => one.create(spec(1), call)))
    t.same([...new Set(twice.map(({ id }) => id))], [first?.id])
  })

  await t.test('lists over all pages, and sees none of other clusters', async (t) => {
    const foreign = { ...spec(8), group: { ...group, clusterId: '59bb43f8284ae3000bf66000' } }
    for (const at of [2, 3, 4, 5]) await driver.create(spec(at), call)
    const made = await driver.create(foreign, call)
    account.page(2)
    const all = [1, 2, 3, 4, 5].map((at) => spec(at).tag)
    t.same(await tags(), all)
    t.match(await driver.find(spec(5), call), [{ tag: spec(5).tag }])
    await (await account.open()).validate(call)
    account.page(100)
    t.match(await driver.find(foreign, call), [{ id: made.id }])
    await away([made])
    t.same(await tags(), all)
  })

  await t.test('a token that has run out is renewed', async (t) => {
    account.expireTokens()
    t.equal((await tags()).length, 5)
  })

  await t.test('takes away everything, twice over', async (t) => {
    const all = await driver.list(clusterId, call)
    for (const machine of all) await driver.destroy(machine, call)
    await away(all)
    t.same(await tags(), [])
    await driver.release(group, call)
    await driver.release(group, call)
  })
}
