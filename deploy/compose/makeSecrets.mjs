// First container of the compose file: makes each secret once, into the volume of the container that needs it.
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = process.argv[2] ?? '/secrets'
const templates = process.argv[3] ?? '/templates'
/** Under which user each image reads its files. */
const owners = { services: 1000, mongo: 999, nats: 0, emqx: 1000, grafana: 472 }
const databases = ['auth', 'devices', 'scheduler', 'broker-proxy', 'cluster-manager']

function keep(path, make) {
  const file = join(root, path)
  if (!existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, make())
  }
  chmodSync(file, 0o400)
  const owner = owners[path.split('/')[0]]
  if (process.getuid?.() === 0) chownSync(file, owner, owner)
  return readFileSync(file, 'utf8').trim()
}

const word = () => randomBytes(24).toString('base64url')

keep('services/secrets.key', () => `k1:${randomBytes(32).toString('base64')}\n`)

keep('mongo/keyfile', () => randomBytes(512).toString('base64'))
keep('mongo/root', word)
for (const name of databases) {
  const password = keep(`mongo/${name}`, word)
  const database = `fleetgate_${name.replaceAll('-', '_')}`
  const user = name.replaceAll('-', '_')
  const uri = `mongodb://${user}:${password}@mongo:27017/${database}?replicaSet=rs0&authSource=admin`
  keep(`services/${name}.mongodb`, () => uri)
}

const natsUrl = keep('services/nats.url', () => `nats://fleetgate:${word()}@nats:4222`)
const fill = (name, values) =>
  readFileSync(join(templates, name), 'utf8').replaceAll(/@([A-Z_]+)@/g, (_, key) => {
    if (values[key] === undefined) throw new Error(`${name} asks for ${key}, which is not made here`)
    return values[key]
  })
keep('nats/nats.conf', () => fill('nats.conf', { NATS_PASSWORD: new URL(natsUrl).password }))

const AUTH_SECRET = keep('services/emqx.authSecret', word)
const apiSecret = keep('services/emqx.apiSecret', word)
keep('services/emqx.mqttPassword', word)
keep('emqx/apiKeys', () => `fleetgate:${apiSecret}:administrator\n`)
keep('emqx/emqx.conf', () => fill('emqx.conf', { AUTH_SECRET, COOKIE: word(), DASHBOARD_PASSWORD: word() }))

keep('grafana/password', word)
