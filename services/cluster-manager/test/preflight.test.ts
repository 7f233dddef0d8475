import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SshHost, startParts, startSshHosts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { programOf, valuesText } from '../src/hosts/runText.js'
import { connectHost } from '../src/ssh/connect.js'
import { openShell } from '../src/ssh/shell.js'
import { clusterEnv, createHold, draft, ended, made, node, type OperationView } from './clusterSupport.js'
import { serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const hosts = await startSshHosts(t, { count: 3 })
const [first, second, third] = hosts.hosts as [SshHost, SshHost, SshHost]
const service = await startClusterManagerFor(t, parts, { ...clusterEnv, WATCH_MS: '600000' })
const api = service.as(guardKeys.token({ userId: 'ann', codes: ['cluster.view', 'cluster.edit'] }))
const base = '"$FLEETGATE_ROOT"/var/lib/fleetgate'

/** On this host the program is, until it is taken away, one that does what the lines say. */
function standIn({ disk }: SshHost, program: string, lines: string): void {
  mkdirSync(join(disk, 'usr/local/bin'), { recursive: true })
  writeFileSync(join(disk, 'usr/local/bin', program), `#!/bin/sh\n${lines}\n`, { mode: 0o755 })
}

const takeAway = ({ disk }: SshHost, program: string) => rmSync(join(disk, 'usr/local/bin', program))

async function gone(id: string): Promise<void> {
  const reply = await api.delete(`/v1/cluster/${id}`)
  if (reply.status !== 200) throw new Error(reply.text)
  await ended(api, id)
  // The answer of a removal stays for two seconds more.
  const isLeft = (host: SshHost) => host.files().some((file) => file.startsWith('/var/lib/fleetgate/'))
  await until(() => !hosts.hosts.some(isLeft), { what: 'nothing to be left' })
}

/** What is wrong on a host, by an operation that ended with preflight. */
function wrongOn(host: SshHost, { state, phases, problems }: OperationView): string {
  t.equal(state, 'FAILED')
  t.same(
    phases.map(({ name }) => name),
    ['preflight']
  )
  return problems.find(({ ip }) => ip === host.address)?.message ?? ''
}

await t.test('clock, processor, interface and memory that will not do are named, all at once', async (t) => {
  const before = [first, second].map((host) => host.files())
  standIn(second, 'date', 'echo $(($(/bin/date +%s) + 100))')
  standIn(second, 'uname', 'echo Linux s390x')
  if (hosts.isReal) await second.run('echo "MemTotal: 32768 kB" >/tmp/meminfo; mount --bind /tmp/meminfo /proc/meminfo')
  const { id, operation } = await made(api, {
    ...draft(hosts, 'unfit', [1, 1], [first]),
    sharedNodes: [node(hosts, second, { privateNicName: 'eth9' })]
  })
  const said = wrongOn(second, operation)
  t.match(said, /the clock is \d+ s away from that of the control plane/)
  t.match(said, /the processor is s390x, the program to install is for (x86_64|aarch64)/)
  if (hosts.isReal) {
    t.match(said, /the network interface eth9 has no IPv4 address, or is not there/)
    t.match(said, /the host has 32 MB of memory, 64 MB are needed/)
    await second.run('umount /proc/meminfo')
  }
  t.equal(operation.problems.length, 1, 'the other host is as it should be')
  takeAway(second, 'date')
  takeAway(second, 'uname')
  t.same(
    [first, second].map((host) => host.files()),
    before,
    'nothing was touched'
  )
  await gone(id)
})

await t.test('a clock that differs by less than 30 seconds will do, before and behind', async (t) => {
  standIn(first, 'date', 'echo $(($(/bin/date +%s) - 15))')
  standIn(second, 'date', 'echo $(($(/bin/date +%s) + 15))')
  const { id, operation } = await made(api, draft(hosts, 'clocks', [1, 1], [first, second]))
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation.problems))
  for (const host of [first, second]) takeAway(host, 'date')
  await gone(id)
})

await t.test('a host that another operation has locked is refused, until the lock runs out', async (t) => {
  const lock = (secondsFromNow: number) =>
    second.run(
      `mkdir -p ${base} && echo "other 1 $(($(date +%s) + ${secondsFromNow})) ${'f'.repeat(24)}" >${base}/lock`
    )
  await lock(600)
  const refused = await made(api, draft(hosts, 'locked', [1, 1], [first, second]))
  t.match(wrongOn(second, refused.operation), /another operation \(other\) changes this host/)
  t.match(await second.run(`cat ${base}/lock`), /^other 1 /, 'the lock is as it was')
  await lock(-1)
  t.equal((await api.post(`/v1/operations/${refused.operation.id}/retry`)).status, 200)
  t.match(await ended(api, refused.id), { state: 'SUCCESS', attempt: 2, problems: [] })
  await gone(refused.id)
})

/** A shell on a host as operations have it, with `touch.sh`, which leaves a line. */
async function shellOn({ address, port }: SshHost) {
  const common = new URL('../../profiles/common/', import.meta.url)
  const scripts = readdirSync(common).map((name) => ({ name, content: readFileSync(new URL(name, common), 'utf8') }))
  const program = programOf([...scripts, { name: 'touch.sh', content: 'echo done >>"$base/done"' }])
  const connection = await connectHost({ address, port, user: 'root', privateKey: hosts.privateKey }, 20_000)
  t.teardown(() => connection.close())
  const { signal } = new AbortController()
  const lines: string[] = []
  const onLine = (line: string) => lines.push(line)
  const shell = openShell(connection, 'exec sh -s -- "$HOME" 2>&1', program)
  const input = valuesText({ any: '1' })
  const count = input.split('\n').length - 1
  return {
    lines,
    run: (operation: string, cluster: string, epoch: number, script = 'touch', last = 0): Promise<number> =>
      shell.run(`${count} ${operation}.1.${script} ${operation} ${cluster} ${epoch} ${last} ${script}.sh\n${input}`, {
        onLine,
        signal
      })
  }
}

await t.test('a run is refused with 75 where others hold the lock, with 76 where a newer driver does', async (t) => {
  const { run, lines } = await shellOn(third)
  t.equal(await run('one', 'c', 5), 0)
  t.equal(await run('two', 'd', 9), 75, 'another cluster, whatever its epoch')
  t.match(lines.at(-1), 'another operation (one) changes this host')
  t.equal(await run('one', 'c', 4), 76, 'an older driver of the same operation')
  t.equal(await run('older', 'c', 4), 76, 'and an older operation of the same cluster')
  t.match(lines.at(-1), 'a newer holder of this operation (epoch 5) changes this host')
  t.equal(await third.run(`cat ${base}/done`), 'done\n', 'none of them has run')
  t.equal(await run('newer', 'c', 6), 0)
  t.equal(await third.run(`cat ${base}/done`), 'done\ndone\n')
  t.match(await third.run(`cat ${base}/lock`), /^newer 6 \d+ c$/m)
  await third.run(`rm -r ${base}`)
})

/** Takes a cluster off the third host, up to where `program` is called with such words to sweep up what the removal left. */
async function sweeping(program: string, words: string) {
  const hold = createHold(third, program, words)
  await hold.begin()
  t.equal(await (await shellOn(third)).run('gone', 'c', 1, 'removed', 1), 0)
  await hold.met(1)
  return hold
}

const waits = async () => (await third.programs()).includes('flock')

await t.test('the sweep after a removal leaves the lock to an operation that has taken it meanwhile', async (t) => {
  const sweep = await sweeping('sleep', '2')
  const begin = createHold(third, 'mkdir', '*next.1.touch/work')
  await begin.begin()
  const running = (await shellOn(third)).run('next', 'd', 1)
  await begin.met(1)
  t.match(await third.run(`cat ${base}/lock`), /^next 1 \d+ d$/m)
  await sweep.end()
  await until(async () => (await waits()) || !third.files().includes('/var/lib/fleetgate/lock'), {
    what: 'the sweep to come'
  })
  await begin.end()
  t.equal(await running, 0)
  const { run, lines } = await shellOn(third)
  t.equal(await run('other', 'e', 1), 75)
  t.match(lines.at(-1), 'another operation (next) changes this host')
  await until(async () => !third.files().some((file) => file.includes('/op/gone.')), { what: 'the sweep to end' })
  t.match(await third.run(`cat ${base}/lock ${base}/done`), /^next 1 \d+ d\ndone\n$/)
  for (const program of ['sleep', 'mkdir']) takeAway(third, program)
  await third.run(`rm -r ${base}`)
})

await t.test('an operation that waited for the sweep begins after it, with a lock', async () => {
  const sweep = await sweeping('rmdir', '*fleetgate/op')
  const running = (await shellOn(third)).run('next', 'd', 1)
  await until(waits, { what: 'the operation to wait' })
  await sweep.end()
  t.equal(await running, 0)
  t.match(await third.run(`cat ${base}/lock ${base}/done`), /^next 1 \d+ d\ndone\n$/)
  takeAway(third, 'rmdir')
  await third.run(`rm -r ${base}`)
})
