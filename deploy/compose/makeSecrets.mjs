// First container of the compose file: makes each secret once, into a volume that it alone has, and hands each container
// what that one needs, in the container's own volume and anew at each start: templates change with the version.
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = process.argv[2] ?? '/secrets'
const templates = process.argv[3] ?? '/templates'
/** Under which user an image reads its files; our own run as 1000. */
const owners = { kept: 0, mongo: 999, nats: 1000, emqx: 1000, grafana: 472 }
const services = ['auth', 'devices', 'scheduler', 'broker-proxy', 'cluster-manager']
const isRoot = process.getuid?.() === 0

/** Whole or not at all: who reads a half of a secret, or makes another, shuts its owner out for good. */
function write(path, text) {
  const file = join(root, path)
  const owner = owners[path.split('/')[0]] ?? 1000
  mkdirSync(dirname(file), { recursive: true })
  rmSync(`${file}.new`, { force: true })
  writeFileSync(`${file}.new`, text, { mode: 0o400, flush: true })
  if (isRoot) chownSync(`${file}.new`, owner, owner)
  renameSync(`${file}.new`, file)
}

function keep(name, make) {
  const file = join(root, 'kept', name)
  if (!existsSync(file)) write(`kept/${name}`, make())
  return readFileSync(file, 'utf8').trim()
}

/** Letters and digits: it stands in URLs, configurations and on command lines. */
const word = () => randomBytes(24).toString('hex')

const secretsKey = keep('secrets.key', () => `k1:${randomBytes(32).toString('base64')}\n`)
const NATS_PASSWORD = keep('nats', word)
write(
  'mongo/keyfile',
  keep('mongo.keyfile', () => randomBytes(512).toString('base64'))
)
write('mongo/root', keep('mongo.root', word))
write('grafana/password', keep('grafana', word))

for (const name of ['gateway', ...services]) write(`${name}/nats.url`, `nats://fleetgate:${NATS_PASSWORD}@nats:4222`)
for (const name of services) {
  const password = keep(`mongo.${name}`, word)
  const user = name.replaceAll('-', '_')
  write(`${name}/secrets.key`, `${secretsKey}\n`)
  write(`mongo/${name}`, password)
  write(
    `${name}/mongodb`,
    `mongodb://${user}:${password}@mongo:27017/fleetgate_${user}?replicaSet=rs0&authSource=admin`
  )
}

const AUTH_SECRET = keep('emqx.authSecret', word)
const apiSecret = keep('emqx.apiSecret', word)
write('broker-proxy/emqx.authSecret', AUTH_SECRET)
write('broker-proxy/emqx.apiSecret', apiSecret)
write('broker-proxy/emqx.mqttPassword', keep('emqx.mqttPassword', word))
write('emqx/apiKeys', `fleetgate:${apiSecret}:administrator\n`)

write('nats/nats.conf', filled('nats.conf', { NATS_PASSWORD }))
const [COOKIE, DASHBOARD_PASSWORD] = [keep('emqx.cookie', word), keep('emqx.dashboard', word)]
const emqxSettings = variablesOf(filled('emqx.conf', { AUTH_SECRET, COOKIE, DASHBOARD_PASSWORD }))
for (const [name, value] of emqxSettings) write(`emqx/env/${name}`, value)
// What an earlier version has set.
for (const name of readdirSync(join(root, 'emqx/env'))) {
  if (!emqxSettings.some(([wanted]) => wanted === name)) rmSync(join(root, 'emqx/env', name))
}

function filled(name, values) {
  return readFileSync(join(templates, name), 'utf8').replaceAll(/@([A-Z_]+)@/g, (_, key) => {
    if (values[key] === undefined) throw new Error(`${name} asks for ${key}, which is not made here`)
    return values[key]
  })
}

/** EMQX takes any part of its configuration from a variable that is named after its path. */
function variablesOf(text) {
  const statements = text.replaceAll(/^#.*\n/gm, '').split(/\n(?=[a-z])/)
  return statements.map((statement) => {
    const [, path, value] = /^([a-z_.]+)\s*=?\s*(.+)$/s.exec(statement.trim()) ?? []
    if (value === undefined) throw new Error('emqx.conf has a line that belongs to no statement')
    return [`EMQX_${path.toUpperCase().replaceAll('.', '__')}`, value]
  })
}

// Volumes of images that run as nobody special begin as root's.
if (isRoot && existsSync('/volumes/nats')) chownSync('/volumes/nats', owners.nats, owners.nats)
