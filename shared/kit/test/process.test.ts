import { execFileSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
import t from 'tap'
import {
  baseConfig,
  commonConfig,
  createApp,
  createLog,
  createShutdown,
  type Log,
  loadConfig,
  Type
} from '../src/index.js'
import { memoryLog } from './support.js'

const Config = Type.Object({ ...commonConfig, DAYS: Type.Integer({ minimum: 1, default: 30 }) })

t.test('the environment is coerced and completed', async (t) => {
  const config = loadConfig(Config, {
    MONGODB_URI: 'mongodb://x',
    PORT: '8080',
    CHECK_REPLIES: '1',
    DAYS: '',
    SECRETS_KEY: '',
    OTHER: 'x'
  })
  t.same(config, {
    HOST: '127.0.0.1',
    PORT: 8080,
    NATS_URL: 'nats://127.0.0.1:4222',
    LOG_LEVEL: 'info',
    CHECK_REPLIES: true,
    DRAIN_MS: 0,
    MONGODB_URI: 'mongodb://x',
    DAYS: 30
  })
  t.equal(loadConfig(Type.Object(baseConfig), { CHECK_REPLIES: 'false' }).PORT, 0)
})

t.test('a setting may stand in a file that <NAME>_FILE names', async (t) => {
  const dir = t.testdir({ uri: 'mongodb://from-file\n', empty: '' })
  const env = { MONGODB_URI_FILE: `${dir}/uri`, SECRETS_KEY_FILE: `${dir}/key` }
  t.match(loadConfig(Config, env), { MONGODB_URI: 'mongodb://from-file', SECRETS_KEY_FILE: `${dir}/key` })
  t.equal(
    loadConfig(Config, { ...env, MONGODB_URI: 'mongodb://x' }).MONGODB_URI,
    'mongodb://x',
    'the value itself wins'
  )
  t.throws(() => loadConfig(Config, { MONGODB_URI_FILE: `${dir}/none` }), { message: /MONGODB_URI_FILE names a file/ })
  t.throws(() => loadConfig(Config, { MONGODB_URI_FILE: `${dir}/empty` }), { message: /MONGODB_URI is required/ })
})

t.test('one error names every bad key and no value', async (t) => {
  const env = { PORT: 'http', DAYS: '0', LOG_LEVEL: 'loud', CHECK_REPLIES: 'perhaps' }
  t.throws(() => loadConfig(Config, env), {
    message: /PORT must be integer.*LOG_LEVEL must be one of.*CHECK_REPLIES.*MONGODB_URI is required.*DAYS must be >= 1/
  })
  t.throws(() => loadConfig(Config, env), { message: /^((?!http|loud|perhaps).)*$/ })
})

function shutdownWith(limitMs?: number) {
  const signals = new EventEmitter()
  const codes: number[] = []
  const log = memoryLog()
  const exit = (code: number) => void codes.push(code)
  return { signals, codes, log, shutdown: createShutdown(log, { signals, exit, ...(limitMs && { limitMs }) }) }
}

t.test('a signal closes everything in reverse order, once', async (t) => {
  const { signals, codes, shutdown } = shutdownWith()
  const closed: string[] = []
  shutdown.add('store', async () => closed.push('store'))
  shutdown.add('http', () => closed.push('http'))
  signals.emit('SIGTERM')
  await shutdown.run('again')
  t.same(closed, ['http', 'store'])
  t.same(codes, [0])
})

t.test('a part that fails does not keep the others from closing', async (t) => {
  const { codes, log, shutdown } = shutdownWith()
  const closed: string[] = []
  shutdown.add('store', () => closed.push('store'))
  shutdown.add('http', async () => {
    throw new Error('stuck')
  })
  await shutdown.run('test')
  t.same(closed, ['store'])
  t.same(codes, [1])
  t.match(log.lines, [{}, { level: 'error', fields: { part: 'http' } }])
})

t.test('what takes too long, or a second signal, ends the process with 1', async (t) => {
  const late = shutdownWith(20)
  let finish = () => {}
  late.shutdown.add('http', () => new Promise<void>((resolve) => (finish = resolve)))
  const running = late.shutdown.run('test')
  while (late.codes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(late.codes, [1])
  finish()
  await running

  const hasty = shutdownWith(20)
  hasty.shutdown.add('http', () => new Promise(() => {}))
  hasty.signals.emit('SIGINT')
  hasty.signals.emit('SIGINT')
  t.same(hasty.codes, [1])
})

t.test('an uncaught error ends the process in order, with 1', async (t) => {
  const { signals, codes, log, shutdown } = shutdownWith()
  signals.emit('uncaughtException', new Error('bug'))
  await shutdown.run('already running')
  t.same(codes, [1])
  t.match(log.lines[0], { level: 'error', message: 'uncaughtException' })
})

t.test('log lines say what request they come from, in the work that it leads to', async (t) => {
  const kit = import.meta.resolve('../src/index.js')
  const script = `
    import { createLog, withOrigin } from ${JSON.stringify(kit)}
    const log = createLog('test')
    const origin = { requestId: 'r1', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }
    await withOrigin(origin, async () => {
      await null
      log.info({ jobId: 1 }, 'within')
      log.child({ part: 'x' }).warn({ requestId: 'own' }, 'named')
    })
    log.info({}, 'outside')
  `
  // The runner's own NODE_OPTIONS would load its hooks.
  const env = { ...process.env, NODE_OPTIONS: '' }
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', env })
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const trace = { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7' }
  t.match(lines, [
    { service: 'test', msg: 'within', jobId: 1, requestId: 'r1', ...trace },
    { msg: 'named', part: 'x', requestId: 'own', ...trace },
    { msg: 'outside' }
  ])
  t.notOk('requestId' in (lines[2] ?? {}))
})

t.test('a logger fits all that ask for one', async (t) => {
  const log: Log = createLog('test', 'silent')
  t.ok(createApp({ service: 'test', log: createLog('test', 'silent'), apis: [] }))
  t.ok(createShutdown(log, { signals: new EventEmitter(), exit: () => {} }))
})
