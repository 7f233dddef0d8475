import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { lockFolder } from '../src/folderLock.js'
import { addUser, callApi, logIn, startProxy } from './support.js'

const source = new URL('../src/folderLock.js', import.meta.url).href

/** Another process that takes the folder, and says so. */
async function holder(t: { teardown(work: () => unknown): void }, folder: string): Promise<ChildProcess> {
  const script = `import { lockFolder } from ${JSON.stringify(source)}
    await lockFolder(${JSON.stringify(folder)}, console)
    process.stdout.write('taken')
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve())
    child.once('exit', () => reject(new Error('it did not get the folder')))
  })
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

t.test('a folder is one process’s, until that gives it back or dies', async (t) => {
  const folder = t.testdir({})
  const first = await lockFolder(folder, quietLog)
  await t.rejects(lockFolder(folder, quietLog), {
    message: `${folder} is in use by another broker-proxy (process ${process.pid})`
  })
  await first.release()
  const child = await holder(t, folder)
  await t.rejects(lockFolder(folder, quietLog), new RegExp(`process ${child.pid}\\b`))
  await kill(child)
  const next = await lockFolder(folder, quietLog)
  await next.release()
  t.same(readdirSync(folder), [], 'and leaves nothing')
})

t.test('of many that find a dead one’s lock one at most gets the folder', async (t) => {
  const folder = t.testdir({})
  for (let round = 0; round < 5; round++) {
    await kill(await holder(t, folder))
    const tries = await Promise.allSettled(Array.from({ length: 12 }, () => lockFolder(folder, quietLog)))
    const got = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    t.ok(got.length <= 1, `round ${round}`)
    const later = got.length === 1 ? got : [await lockFolder(folder, quietLog)]
    await Promise.all(later.map((lock) => lock.release()))
  }
})

t.test('a path too long for a socket is no hindrance', async (t) => {
  const folder = `${t.testdir({})}/${'long-'.repeat(40)}`
  mkdirSync(folder)
  const lock = await lockFolder(folder, quietLog)
  await t.rejects(lockFolder(folder, quietLog), /in use/)
  await lock.release()
})

t.test('a second process on the same DATA_DIR is refused, and changes nothing', async (t) => {
  const keys = testGuardKeys()
  const parts = await startParts(t)
  const proxy = await startProxy(t, parts, keys)
  const api = callApi(proxy, keys)
  await addUser(proxy, keys, { name: 'machine1' })
  const client = await logIn(t, proxy, 'machine1', 'here-1')
  await until(async () => (await api.get('/api/v2/clients/here-1')).body.result.objects.length === 1, {
    what: 'the row of the client'
  })
  await t.rejects(startProxy(t, parts, keys), {
    message: /broker-proxy is in use by another broker-proxy \(process \d+\)/
  })
  t.ok(client.connected)
  t.equal((await api.get('/api/v2/clients/here-1')).body.result.objects.length, 1, 'nobody is set offline')
  await proxy.stop()
  const next = await startProxy(t, parts, keys)
  t.ok((await logIn(t, next, 'machine1', 'here-1')).connected)
})
