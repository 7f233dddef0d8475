import { rmSync } from 'node:fs'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { startEngine } from '@fleetgate/local'
import { openStore } from '@fleetgate/store'
import t from 'tap'
import { quietLog, temporaryFolder } from '../src/index.js'

t.test('keeps every acknowledged document over kill -9 and serves at once again at the same address', async (t) => {
  const dir = join(temporaryFolder(t), 'documents')
  let engine = await startEngine({ dir })
  t.teardown(() => engine.kill())
  const store = await openStore({ uri: engine.uri, database: 'engine_test', log: quietLog })
  t.teardown(() => store.close())
  const things = store.connection.collection<{ n: number }>('things')
  let acknowledged = 0
  const writing = (async () => {
    for (; acknowledged < 2000; acknowledged++)
      await things.insertOne({ n: acknowledged }, { writeConcern: { w: 1, j: true } })
  })().catch(() => undefined)
  while (acknowledged < 100) await new Promise(setImmediate)
  await engine.kill()
  await writing
  t.ok(acknowledged < 2000, 'it died in the middle')
  const { uri } = engine
  engine = await startEngine({ dir })
  t.equal(engine.uri, uri)
  const numbers = await things.distinct('n')
  for (let n = 0; n < acknowledged; n++) if (!numbers.includes(n)) t.fail(`number ${n} is lost`)
  t.ok(numbers.length >= acknowledged)
})

t.test('serves from a folder whose path is too long for a unix socket', async (t) => {
  const dir = join(temporaryFolder(t), 'long'.repeat(30))
  const engine = await startEngine({ dir })
  t.teardown(() => engine.kill())
  const socket = decodeURIComponent(new URL(engine.uri).host)
  t.teardown(() => rmSync(dirname(socket), { recursive: true, force: true }))
  t.ok(socket.length < 107)
  const store = await openStore({ uri: engine.uri, database: 'engine_test', log: quietLog })
  t.teardown(() => store.close())
  t.equal(await store.ready(), true)
})

t.test('ranks plans by their trial alone', async (t) => {
  const engine = await startEngine({ dir: join(temporaryFolder(t), 'documents') })
  t.teardown(() => engine.kill())
  const store = await openStore({ uri: engine.uri, database: 'engine_test', log: quietLog })
  t.teardown(() => store.close())
  const setting = await store.connection.db?.admin().command({ getParameter: 1, internalQueryPlanRanker: 1 })
  t.match(setting, { internalQueryPlanRanker: 'multiPlanning' })
})

t.test('refuses a socket path that no system takes', async (t) => {
  const socket = join('/tmp', 'long'.repeat(30), 'engine.sock')
  await t.rejects(startEngine({ dir: temporaryFolder(t), socket }), { message: /over 107 bytes/ })
})

t.test('ends when the folder is taken, saying why', async (t) => {
  const dir = join(temporaryFolder(t), 'documents')
  const engine = await startEngine({ dir })
  t.teardown(() => engine.kill())
  const socket = join(temporaryFolder(t), 'run', 'other.sock')
  await t.rejects(startEngine({ dir, socket }), { message: /lock file/ })
})

t.test('an operation whose connection is closed at this moment ends, and does not hang', async (t) => {
  const sockets: net.Socket[] = []
  const { createConnection } = net
  const remembered = (...parts: Parameters<typeof createConnection>) => {
    const socket = createConnection(...parts)
    sockets.push(socket)
    return socket
  }
  net.createConnection = remembered as typeof createConnection
  t.teardown(() => {
    net.createConnection = createConnection
  })
  const engine = await startEngine({ dir: join(temporaryFolder(t), 'documents') })
  t.teardown(() => engine.kill())
  const store = await openStore({ uri: engine.uri, database: 'engine_test', log: quietLog })
  t.teardown(() => store.close())
  const things = store.connection.collection<{ n: number }>('things')
  await things.insertOne({ n: 1 })

  // Destroyed without an error, and 'close' not yet told: what the driver writes now is taken by nobody.
  for (const socket of sockets) socket.destroy()
  const asked = things.findOne({ n: 1 }).then(
    () => 'answered',
    (error: Error) => error.name
  )
  t.match(await asked, /^(answered|MongoNetworkError)$/)
  t.match(await things.findOne({ n: 1 }), { n: 1 }, 'the next one finds a new connection')
  t.ok(sockets.length > 2)
})
