import { execFile } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { openLogFile } from '../src/logFile.js'
import { createTidy } from '../src/tidy.js'

t.setTimeout(240_000)

const main = fileURLToPath(new URL('../src/main.js', import.meta.url))

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'product-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface Ended {
  code: number
  out: string
  err: string
}

function call(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, ...env } }
    execFile(process.execPath, [main, ...args], options, (error, out, err) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err })
    })
  })
}

t.test('commands and options are told from each other', async (t) => {
  t.match(await call(['version']), { code: 0, out: /^\d+\.\d+\.\d+\n$/ })
  t.match(await call(['--help']), { code: 0, out: /enrol --url/ })
  t.match(await call(['dance']), { code: 2, err: /there is no command dance/ })
  t.match(await call(['check', '--loud']), { code: 2, err: /--loud/ })
  t.match(await call(['enrol', '--url', 'ftp://x', '--token', 'x', '--config', '/nowhere/x']), {
    code: 1,
    err: /--url/
  })
  t.match(await call(['run'], { ROOTS: '/tmp' }), { code: 1, err: /STATE_DIR is required/ })
  t.match(await call([]), { code: 1, err: /STATE_DIR is required/ }, 'to run is what is done where nothing is said')
  const file = join(folderFor(t), 'agent.json')
  writeFileSync(file, '{"STATE_DIR": "/x", "ROOTS": ["relative"]}')
  t.match(await call([file]), { code: 1, err: /ROOTS must hold absolute paths/ }, 'a file is the configuration')
})

t.test('the self-test names what is wrong', async (t) => {
  const base = folderFor(t)
  const [root, program] = [join(base, 'root'), join(base, 'root/tool')]
  mkdirSync(root)
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o644 })
  const env = { MQTT_URL: 'mqtts://127.0.0.1:9', STATE_DIR: join(base, 'state'), ROOTS: root, PROGRAMS: program }
  const look = async (more: NodeJS.ProcessEnv) => {
    const { out, code } = await call(['check', '--json'], { ...env, ...more })
    const { ok, checks } = JSON.parse(out)
    t.equal(code, ok ? 0 : 1)
    return Object.fromEntries(checks.map(({ name, ...rest }: { name: string }) => [name, rest]))
  }
  const first = await look({})
  t.match(first, {
    config: { status: 'ok' },
    state: { status: 'ok', detail: /will be made/ },
    root: { status: 'ok' },
    program: { status: 'failed', detail: /not executable/ },
    dns: { status: 'ok' },
    tcp: { status: 'failed', detail: /ECONNREFUSED/ },
    tls: { status: 'failed' },
    mqtt: { status: 'failed' },
    clock: { status: 'skipped' }
  })
  t.notOk(existsSync(join(base, 'state')), 'a look makes nothing')
  t.strictSame(readdirSync(root), ['tool'], 'and leaves nothing')
  chmodSync(program, 0o755)
  t.match(await look({ STATE_DIR: join(root, 'state') }), {
    program: { status: 'ok' },
    nesting: { status: 'failed', detail: /must not lie within each other/ }
  })
  t.match(await look({ ROOTS: join(base, 'none'), PROGRAMS: join(base, 'no') }), {
    root: { status: 'failed', detail: /does not exist/ },
    program: { status: 'failed', detail: /does not exist/ }
  })
  t.match(await look({ CLIENT_ID: 'a/b' }), { config: { status: 'failed', detail: /CLIENT_ID/ } })
})

t.test('the self-test looks whether everybody may read the password', async (t) => {
  const base = folderFor(t)
  const config = join(base, 'agent.json')
  const settings = { STATE_DIR: join(base, 'state'), ROOTS: [base], MQTT_URL: 'mqtt://127.0.0.1:1' }
  const look = async (more: object, mode: number) => {
    writeFileSync(config, JSON.stringify({ ...settings, ...more }))
    chmodSync(config, mode)
    const { checks } = JSON.parse((await call(['check', '--json', '--config', config])).out)
    return checks.find(({ name }: { name: string }) => name === 'secrets')
  }
  t.match(await look({ MQTT_PASSWORD: 'x' }, 0o644), { status: 'failed', detail: /everybody may read/ })
  t.match(await look({ MQTT_PASSWORD: 'x' }, 0o640), { status: 'ok' })
  t.match(await look({}, 0o644), { status: 'skipped' })
  const file = join(base, 'password')
  writeFileSync(file, 'x', { mode: 0o644 })
  t.match(await look({ MQTT_PASSWORD_FILE: file }, 0o644), { status: 'failed', detail: file })
})

interface Fleet {
  url: string
  asked: unknown[]
  answers: [status: number, body: object | string, headers?: Record<string, string>][]
}

/** Answers as the fleet does, whatever is next in `answers`, the last one for ever. */
async function startFleet(t: Test): Promise<Fleet> {
  const fleet: Fleet = { url: '', asked: [], answers: [] }
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    fleet.asked.push([request.method, request.url, JSON.parse(Buffer.concat(parts).toString())])
    const next = fleet.answers.length > 1 ? fleet.answers.shift() : fleet.answers[0]
    const [status, body, headers = {}] = next ?? [500, {}]
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))
  }
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  fleet.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return fleet
}

const admission = {
  mqttUrl: 'mqtts://broker:8883',
  username: 'm-till',
  password: 'secret',
  clientId: 'till',
  role: 'SERVER',
  caPem: 'PEM'
}

t.test('to enrol is safe to repeat and keeps what its operator wrote', async (t) => {
  const base = folderFor(t)
  const config = join(base, 'etc/agent.json')
  const fleet = await startFleet(t)
  fleet.answers = [
    [429, { message: 'too many' }, { 'retry-after': '1' }],
    [503, {}],
    [200, admission]
  ]
  const args = ['enrol', '--url', `${fleet.url}/some/path`, '--token', 'T', '--config', config, '--client-id', 'till']
  const first = await call([...args, '--root', '/srv/a', '--root', '/srv/b'])
  t.match(first, { code: 0, out: /till is enrolled as SERVER/, err: /too many.*asking again/ })
  t.equal(fleet.asked.length, 3)
  t.strictSame(fleet.asked[0], ['POST', '/v1/clients/enrol', { token: 'T', clientId: 'till' }])
  const written = JSON.parse(readFileSync(config, 'utf8'))
  t.strictSame(written, {
    FLEET_URL: fleet.url,
    MQTT_URL: 'mqtts://broker:8883',
    MQTT_USERNAME: 'm-till',
    MQTT_PASSWORD: 'secret',
    CLIENT_ID: 'till',
    ROLE: 'SERVER',
    MQTT_CA_FILE: join(base, 'etc/broker-ca.pem'),
    STATE_DIR: '/var/lib/fleetgate',
    ROOTS: ['/srv/a', '/srv/b']
  })
  t.equal(statSync(config).mode & 0o777, 0o600)
  t.equal(readFileSync(join(base, 'etc/broker-ca.pem'), 'utf8'), 'PEM')
  writeFileSync(config, JSON.stringify({ ...written, CONCURRENCY: 4, STATE_DIR: '/data' }))
  const tokenFile = join(base, 'token')
  // As shells of Windows write.
  writeFileSync(tokenFile, Buffer.from('\ufeffT2\r\n', 'utf16le'))
  writeFileSync(config, `\ufeff${readFileSync(config, 'utf8')}`)
  t.match(await call(['enrol', '--config', config, '--token-file', tokenFile]), { code: 0 })
  t.match(fleet.asked.at(-1), ['POST', '/v1/clients/enrol', { token: 'T2', clientId: 'till' }])
  t.match(JSON.parse(readFileSync(config, 'utf8')), { CONCURRENCY: 4, STATE_DIR: '/data', ROOTS: ['/srv/a', '/srv/b'] })
})

t.test('where the fleet refuses nothing is written', async (t) => {
  const base = folderFor(t)
  const fleet = await startFleet(t)
  const config = join(base, 'agent.json')
  const enrol = (more: string[] = []) =>
    call(['enrol', '--url', fleet.url, '--token', 'T', '--config', config, ...more])
  fleet.answers = [[403, { code: 'FORBIDDEN', message: 'this token does not let a machine in' }]]
  t.match(await enrol(), { code: 1, err: /HTTP 403\): this token does not let a machine in/ })
  fleet.answers = [[200, { ...admission, role: 'KING' }]]
  t.match(await enrol(), { code: 1, err: /role must be one of/ })
  fleet.answers = [[200, '<html>Log in to the hotel</html>']]
  t.match(await enrol(), { code: 1, err: /what answers at .* is not the fleet/ })
  fleet.answers = [[503, {}]]
  t.match(await enrol(['--wait', '0']), { code: 1, err: /HTTP 503/ })
  t.strictSame(readdirSync(base), [])
  writeFileSync(config, 'no json')
  t.match(await enrol(), { code: 1, err: /holds no JSON object/ })
  t.equal(readFileSync(config, 'utf8'), 'no json')
})

t.test('a log file turns over by itself and loses nothing', (t) => {
  const base = folderFor(t)
  const path = join(base, 'agent.log')
  const log = openLogFile({ path, maxBytes: 1000, keep: 3 })
  const lines = Array.from({ length: 60 }, (_, i) => `${String(i).padStart(3, '0')} ${'x'.repeat(40)}\n`)
  for (const line of lines) log.write(line)
  t.strictSame(readdirSync(base).sort(), ['agent.log', 'agent.log.1', 'agent.log.2'])
  const all = ['agent.log.2', 'agent.log.1', 'agent.log'].map((name) => readFileSync(join(base, name), 'utf8'))
  t.equal(all.join(''), lines.join(''), 'each line once, in order')
  for (const text of all) t.ok(text.length <= 1000)
  log.close()
  const again = openLogFile({ path, maxBytes: 1000, keep: 3 })
  for (const line of lines) again.write(line)
  again.close()
  t.strictSame(readdirSync(base).sort(), ['agent.log', 'agent.log.1', 'agent.log.2', 'agent.log.3'], 'three are kept')
  t.match(readFileSync(path, 'utf8'), /\n059 x+\n$/)
  t.equal(statSync(path).mode & 0o777, 0o600)
  const none = openLogFile({ path: join(base, 'none'), maxBytes: 1000, keep: 0 })
  for (const line of lines) none.write(line)
  none.close()
  t.notOk(existsSync(join(base, 'none.1')))
  t.end()
})

t.test('a log file that somebody keeps from being moved goes on, and loses nothing', (t) => {
  const base = folderFor(t)
  const path = join(base, 'agent.log')
  let isRead = true
  const rename = (from: string, to: string) => {
    if (isRead && from === path) throw Object.assign(new Error('in use'), { code: 'EBUSY' })
    renameSync(from, to)
  }
  writeFileSync(`${path}.1`, 'one')
  writeFileSync(`${path}.3`, 'three')
  const log = openLogFile({ path, maxBytes: 100, keep: 3, rename })
  const lines = Array.from({ length: 10 }, (_, i) => `${i} ${'x'.repeat(40)}\n`)
  for (const line of lines.slice(0, 9)) log.write(line)
  t.equal(readFileSync(path, 'utf8'), lines.slice(0, 9).join(''))
  isRead = false
  for (const line of lines.slice(9)) log.write(line)
  log.close()
  t.equal(readFileSync(path, 'utf8'), lines[9])
  const aside = [1, 2, 3].map((number) => readFileSync(`${path}.${number}`, 'utf8'))
  t.strictSame(aside, [lines.slice(0, 9).join(''), 'one', 'three'], 'moved up to the gap, once')
  t.end()
})

t.test('a full disk costs log lines, not the agent', (t) => {
  const path = join(folderFor(t), 'agent.log')
  symlinkSync('/dev/full', path)
  const log = openLogFile({ path, maxBytes: 1000, keep: 1 })
  log.write('a line\n')
  log.write('a line\n')
  log.close()
  t.pass('nothing was thrown')
  t.end()
})

t.test('a log file that cannot be opened anew writes into no file of others', (t) => {
  const base = folderFor(t)
  const folder = join(base, 'logs')
  mkdirSync(folder)
  const log = openLogFile({ path: join(folder, 'agent.log'), maxBytes: 250, keep: 2 })
  const line = `${'x'.repeat(150)}\n`
  log.write(line)
  rmSync(folder, { recursive: true })
  log.write(line)
  // Takes the number of the log file, should that be closed.
  const other = openSync(join(base, 'other'), 'w')
  log.write(line)
  writeSync(other, 'mine')
  t.equal(readFileSync(join(base, 'other'), 'utf8'), 'mine')
  closeSync(other)
  mkdirSync(folder)
  log.write(line)
  log.close()
  t.match(readFileSync(join(folder, 'agent.log'), 'utf8'), /"lost":\d/)
  t.strictSame(readdirSync(folder), ['agent.log'], 'and no file was moved for each try')
  t.end()
})

t.test('garbage is collected while a transfer lasts, and all of it once when it is over', async (t) => {
  const collected: string[] = []
  const moved = createTidy((kind) => void collected.push(kind))
  moved(1000)
  for (let i = 0; i < 40; i += 1) moved(256 * 1024)
  t.strictSame(collected, Array(10).fill('young'))
  await until(() => collected.length > 10 || pause(), { what: 'the last collection' })
  await pause()
  t.strictSame(collected.slice(10), ['all'])
  const real = createTidy()
  t.doesNotThrow(() => real(2 * 1024 * 1024), 'the real collector is to be had')
})

const pause = () => new Promise<false>((resolve) => setTimeout(() => resolve(false), 100))
