import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { claim } from '../src/process/claim.js'
import { endProcess, type Identity, identify, isAlive } from '../src/process/identity.js'
import { supervise } from '../src/process/supervise.js'
import { serviceMember } from '../src/services.js'
import { temporaryPlace, until } from './fakeStack.js'

const shell = (script: string) => ({ name: 'fake', command: 'sh', args: ['-c', script], endsWithParent: false })

/** The delays before the first restarts of a program. */
async function delaysOf(script: string, healthyMs: number, count: number): Promise<number[]> {
  const delays: number[] = []
  const onDeath = (_reason: string, againInMs: number) => delays.push(againInMs)
  const running = supervise(shell(script), { backOff: { firstMs: 5, maxMs: 20, healthyMs }, onDeath })
  await until('the deaths', () => delays.length >= count)
  await running.stop(1000)
  return delays.slice(0, count)
}

t.test('waits longer before each restart, up to a limit', async (t) => {
  t.same(await delaysOf('exit 1', 60_000, 5), [5, 10, 20, 20, 20])
})

t.test('forgets the delay of a process that lived for a while', async (t) => {
  t.same(await delaysOf('sleep 0.05', 20, 3), [5, 5, 5])
})

t.test('counts a program that cannot be started as a death', async (t) => {
  const reasons: string[] = []
  const program = { ...shell(''), command: '/nowhere/program' }
  const running = supervise(program, { onDeath: (reason) => reasons.push(reason) })
  await until('the death', () => reasons.length > 0)
  t.match(reasons[0], /ENOENT/)
  t.equal(running.state().pid, undefined)
  await running.stop(1000)
})

t.test('does not start again what was stopped, and kills what ignores the order', async (t) => {
  const lines: string[] = []
  const running = supervise(shell('trap "" TERM; echo here; while :; do sleep 0.01; done'), {
    onLine: (line) => lines.push(line)
  })
  await until('the start', () => lines.length > 0)
  const { pid } = running.state()
  await running.stop(50)
  t.equal(identify(pid ?? 0), undefined)
  t.same(running.state(), { name: 'fake', pid: undefined, restarts: 0 })
})

t.test('gives a folder to one at a time, in turn to those who wait', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const first = await claim(dataDir)
  await t.rejects(claim(dataDir, { waitMs: 0 }), { name: 'ClaimedError', owner: process.pid })
  let isOurs = false
  const second = claim(dataDir, { waitMs: 5000 }).then((held) => {
    isOurs = true
    return held
  })
  await new Promise(setImmediate)
  t.notOk(isOurs)
  first.release()
  ;(await second).release()
  t.same(readdirSync(dataDir), [])
})

t.test('takes a folder from the dead, not from the living', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const other = spawn('sleep', ['60'])
  t.teardown(() => other.kill('SIGKILL'))
  const owner = identify(other.pid ?? 0) as Identity
  const lock = `lock-${owner.pid}-${owner.startedAt}`
  writeFileSync(join(dataDir, lock), '')
  writeFileSync(join(dataDir, `lock-${process.pid}-1`), '')
  await t.rejects(claim(dataDir, { waitMs: 0 }), { name: 'ClaimedError', owner: owner.pid })
  other.kill('SIGKILL')
  await once(other, 'exit')
  const held = await claim(dataDir)
  t.notOk(readdirSync(dataDir).includes(lock))
  held.release()
})

t.test('ends a process that is not a child, and knows it from a later one of the same id', async (t) => {
  const stubborn = spawn('sh', ['-c', 'trap "" TERM; echo here; while :; do sleep 0.01; done'])
  await once(stubborn.stdout, 'data')
  const identity = identify(stubborn.pid ?? 0) as Identity
  const later = { ...identity, startedAt: '1' }
  t.notOk(isAlive(later))
  await endProcess(later, 0)
  t.ok(isAlive(identity), 'the later one is not touched')
  await endProcess(identity, 50)
  t.notOk(isAlive(identity))
})

t.test('bounds the heap of a service, by HEAP_MB where that is set', async (t) => {
  const argsWith = (env: NodeJS.ProcessEnv) =>
    serviceMember({ name: 'auth', file: 'main.js', url: '', env }).program.args
  t.ok(argsWith({}).includes('--max-old-space-size=512'))
  t.ok(argsWith({ HEAP_MB: '2048' }).includes('--max-old-space-size=2048'))
  for (const wrong of ['0', 'much', '1.5']) t.throws(() => argsWith({ HEAP_MB: wrong }), { message: /HEAP_MB/ }, wrong)
})
