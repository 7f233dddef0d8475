import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '@fleetgate/store'
import { quietLog, type RunningService, type Session, type SshHost } from '@fleetgate/testkit'
import t from 'tap'
import { type ClusterView, draft, ended, node, startProcesses } from './clusterSupport.js'
import type { Key, Reply } from './support.js'

const { parts, hosts, services, sessionOf, token } = await startProcesses(t, { count: 2, env: { LOG_LEVEL: 'trace' } })
const service = services[0] as RunningService
const [first, second] = hosts.hosts as [SshHost, SshHost]
const plain = sessionOf(service)
/** All that the API answered, but for the routes that are there to tell a secret. */
const heard: string[] = []
const api = new Proxy(plain, {
  get: (target, method: keyof Session) => {
    const ask = target[method] as (...all: unknown[]) => Promise<{ text: string }>
    return async (...all: unknown[]) => {
      const reply = await ask(...all)
      heard.push(reply.text)
      return reply
    }
  }
})

/** What nobody must see, by what it is. */
const secrets = new Map<string, string>()
const secret = (name: string, value: string) => {
  secrets.set(name, value)
  return value
}

/** In which forms of a secret a text shows it. */
function shownIn(text: string, value: string): string[] {
  // Of what has several lines a part of one that is in every form the same.
  const part = value.includes('PRIVATE KEY') ? (value.split('\n')[2] ?? '').slice(0, 40) : value
  const base64 = (of: string) => Buffer.from(of).toString('base64').replace(/=+$/, '')
  const whole = value.includes('PRIVATE KEY') ? base64(value).slice(100, 140) : base64(value)
  return [part, JSON.stringify(part).slice(1, -1), whole].filter((form) => form.length > 5 && text.includes(form))
}

const given = async (path: string, body: object) => {
  const reply = await api.post<Reply<{ _id: string }>>(path, body)
  t.equal(reply.status, 200, reply.text)
  return reply.body.data._id
}

secret('host password', hosts.password)
secret('key of hosts', hosts.privateKey)
const registryId = await given('/v1/dockerregistries', {
  name: 'private',
  registry: 'registry.example.com',
  username: 'puller',
  password: secret('registry password', 'Hidden-of-registry')
})
secret('log-in of the registry', Buffer.from('puller:Hidden-of-registry').toString('base64'))
const serviceKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem'
})
const providers = [
  {
    name: 'private',
    type: 'openstack',
    openstackInfo: {
      'openstack-auth-url': 'http://127.0.0.1:5000/v3',
      'openstack-username': 'fleet',
      'openstack-password': secret('password at OpenStack', 'Hidden-of-openstack'),
      'openstack-tenant-name': 'till',
      'openstack-flavor-name': 'm1.small',
      'openstack-image-name': 'debian-13',
      'openstack-ssh-user': 'debian'
    }
  },
  {
    name: 'amazon',
    type: 'amazonec2',
    awsEc2Info: {
      'amazonec2-access-key': 'AKEXAMPLE',
      'amazonec2-secret-key': secret('secret key at Amazon', 'Hidden-of-amazon'),
      'amazonec2-region': 'nowhere'
    }
  },
  {
    name: 'google',
    type: 'google',
    googleInfo: {
      'google-project': 'till',
      'google-application-credentials': JSON.stringify({
        type: 'service_account',
        client_email: 'fleet@till.example.com',
        private_key: secret('key of the service account', String(serviceKey))
      })
    }
  }
]

await t.test('what clouds, mail servers and people give is told to nobody', async (t) => {
  for (const provider of providers) {
    const id = await given('/v1/provider', provider)
    t.not((await api.post(`/v1/provider/${id}/check`)).status, 200, 'refused before any cloud is asked')
    await api.put(`/v1/provider/${id}`, { ...provider, _id: id })
    await api.post('/v1/provider', { ...provider, sshPort: 'none' })
  }
  const smtp = { name: 'fleet@example.com', address: '127.0.0.1', port: 9, security: 'tls' }
  const mailId = await given('/v1/smtp', { ...smtp, passwd: secret('password of mail', 'Hidden-of-mail') })
  for (const path of ['/v1/smtp', `/v1/smtp/${mailId}`, '/v1/provider', '/v1/provider?count=true']) {
    t.equal((await api.get(path)).status, 200)
  }
  // Refused for what it is, and not by showing it.
  const wrong = secret('key that is none', 'LSdWLSeCRpyJT3BSpdE1Hidden')
  const body = { ...draft(hosts, 'refused', [1, 1]), masterNodes: [node(hosts, first, { privateKey: wrong })] }
  t.equal((await api.post('/v1/cluster', body)).status, 400)
})

let id = ''

await t.test('what is made for a cluster is struck from what programs complain of', async (t) => {
  const pair = { name: 'pair', user_id: 'ann' }
  t.equal((await api.post('/v1/pubkey/userSelfCreate', pair)).status, 200)
  const [key] = (await api.get<Reply<Key[]>>('/v1/pubkey?name=pair')).body.data
  // A program that says all that stands in the files it is to move, as progress and as a problem, and then gives up.
  const tool = join(second.disk, 'usr/local/bin/mv')
  mkdirSync(join(second.disk, 'usr/local/bin'), { recursive: true })
  const tell = `while read -r line; do echo "progress $line"; echo "problem $line"; done <"$1"`
  writeFileSync(
    tool,
    `#!/bin/sh
case $2 in
  */registry-auth.json) ${tell} ;;
  */nats.conf) ${tell}; grep -h password "$1"; exit 1 ;;
esac
exec /bin/mv "$@"
`,
    { mode: 0o755 }
  )
  const answer = await api.post<Reply<ClusterView>>('/v1/cluster', {
    ...draft(hosts, 'secrets', [1, 1]),
    masterNodes: [node(hosts, first, { privateKey: undefined, password: hosts.password })],
    pubkeyId: [key?._id],
    dockerRegistries: [{ _id: registryId }]
  })
  t.equal(answer.status, 200, answer.text)
  id = answer.body.data._id
  const { operationId } = answer.body.data
  const events = fetch(`${service.url}/v1/operations/${operationId}/events`, { headers: { 'x-auth-token': token } })
  heard.push(await (await events).text())
  const failed = await ended(api, id)
  t.match(failed, { state: 'FAILED', problems: [{ ip: second.address, message: /"auth":"\*\*\*"/ }] })
  t.match(failed.problems[0]?.message, /password: "\*\*\*"/)
  rmSync(tool)
  t.equal((await api.post(`/v1/operations/${operationId}/retry`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  const config = await first.run('cat "$FLEETGATE_ROOT"/etc/fleetgate/nats.conf')
  const made = [...config.matchAll(/password: "([^"]{20,})"/g)].map(([, value = '']) => value)
  t.equal(new Set(made).size, 3, 'of users, routes and system')
  for (const [index, value] of made.entries()) secret(`secret ${index} of the cluster`, value)
  secret('generated key', (await plain.get('/v1/pubkey/downLoadKey/ann')).text)
  t.match(secrets.get('generated key'), /PRIVATE KEY/)
})

await t.test('no answer, event or log holds a secret, and none is kept as it is', async (t) => {
  for (const path of [
    '/v1/cluster',
    `/v1/cluster/${id}`,
    `/v1/cluster/${id}/hosts`,
    `/v1/cluster/${id}/components`,
    '/v1/dockerregistries',
    `/v1/dockerregistries/${registryId}`,
    '/v1/pubkey',
    '/v1/logs',
    '/v1/smtp/mails'
  ]) {
    t.equal((await api.get(path)).status, 200, path)
  }
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
  t.teardown(() => store.close())
  const kept: unknown[] = []
  for (const { name } of await store.connection.listCollections())
    kept.push(...(await store.connection.collection(name).find({}).toArray()))
  const places = { answers: heard.join('\n'), output: service.output(), database: JSON.stringify(kept) }
  t.match(places.database, /"sealedSecrets":"[^"]/)
  t.match(places.output, /operation ended/)
  t.ok(secrets.size >= 12, [...secrets.keys()].join())
  for (const [name, value] of secrets) {
    for (const [place, text] of Object.entries(places)) t.same(shownIn(text, value), [], `${name} in ${place}`)
  }
  const access = await plain.get<Reply<{ password: string }>>(`/v1/cluster/${id}/access`)
  t.ok([...secrets.values()].includes(access.body.data.password), 'told where it is asked for')
})
