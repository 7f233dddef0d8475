import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connectBus, type Log, userRevoked } from '@fleetgate/contracts'
import t from 'tap'
import { freePort, startNats } from '../src/index.js'
import { natsBinary } from '../src/natsBinary.js'
import { identify } from '../src/process/identity.js'
import { choosePorts, serviceEnv } from '../src/stackEnv.js'
import { temporaryPlace } from './fakeStack.js'

const say = () => {}
const log: Log = { debug: say, info: say, warn: say, error: say }
const event = { userId: '7', tenantId: 't1', minVersion: 2, at: 1 }

t.test('keeps what it acknowledged when it is killed, and is there again under the same address', async (t) => {
  const { dataDir: dir } = temporaryPlace(t)
  const port = await freePort()
  const first = await startNats({ dir, port })
  const bus = await connectBus({ name: 'test', url: first.url, log })
  t.teardown(() => bus.close())
  await bus.publish(userRevoked, event)
  await first.kill()
  const second = await startNats({ dir, port, password: new URL(first.url).password })
  t.teardown(() => second.stop())
  t.equal(second.url, first.url)
  const seen: unknown[] = []
  await bus.watch(userRevoked, { sinceMs: 60_000 }, (data) => seen.push(data))
  t.same(seen, [event])
})

t.test('takes nobody without the password', async (t) => {
  const { dataDir: dir } = temporaryPlace(t)
  const nats = await startNats({ dir })
  t.teardown(() => nats.stop())
  t.equal(statSync(join(dir, 'nats.conf')).mode & 0o777, 0o600)
  const socket = connect(Number(new URL(nats.url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write('CONNECT {"verbose":true}\r\nPING\r\n')
  let said = ''
  socket.on('data', (data) => {
    said += data
  })
  await once(socket, 'close')
  t.match(said, /-ERR 'Authorization Violation'/)
})

t.test('ends a server that was left on the folder, so that two never write there', async (t) => {
  const { dataDir: dir } = temporaryPlace(t)
  const left = await startNats({ dir })
  t.teardown(() => left.kill())
  const next = await startNats({ dir })
  t.teardown(() => next.stop())
  t.equal(identify(left.pid), undefined)
  t.equal(Number(readFileSync(join(dir, 'nats.pid'), 'utf8')), next.pid)
})

t.test('says what the server said when it does not start', async (t) => {
  const { dataDir: dir } = temporaryPlace(t)
  const port = await freePort()
  const other = await startNats({ dir: join(dir, 'a'), port })
  t.teardown(() => other.stop())
  // Something answers on that port, but it is not the new one.
  await t.rejects(startNats({ dir: join(dir, 'b'), port }), { message: /address already in use/ })
})

t.test('prefers the nats-server on PATH', async (t) => {
  const { dataDir: dir } = temporaryPlace(t)
  mkdirSync(join(dir, 'bin'))
  const own = join(dir, 'bin', 'nats-server')
  writeFileSync(own, '#!/bin/sh\n')
  t.not(natsBinary({ PATH: join(dir, 'bin') }), own, 'not when it cannot be run')
  chmodSync(own, 0o755)
  t.equal(natsBinary({ PATH: join(dir, 'bin') }), own)
})

t.test('clusters get the nats-server that runs here, unless a release is named', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const places = { dataDir, natsUrl: 'x', mongoUri: 'x', ports: await choosePorts({}, {}) }
  const given = (env: NodeJS.ProcessEnv) => serviceEnv('cluster-manager', 1, places, env).NATS_SERVER_BINARY
  t.equal(given({}), natsBinary())
  for (const name of ['NATS_SERVER_URL', 'NATS_SERVER_VERSION']) t.equal(given({ [name]: 'x' }), undefined)
  t.equal(given({ NATS_SERVER_BINARY: '/opt/nats-server' }), '/opt/nats-server')
})
