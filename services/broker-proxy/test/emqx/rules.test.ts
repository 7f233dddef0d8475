import { loadConfig } from '@fleetgate/kit'
import t from 'tap'
import { createClientRegister } from '../../src/broker/emqx/clientRegister.js'
import { overlaps } from '../../src/broker/emqx/overlaps.js'
import { emqxSettings } from '../../src/broker/emqx/settings.js'
import { createTopicSpace } from '../../src/broker/emqx/topicSpace.js'
import { Config } from '../../src/config.js'
import { emqxEnv } from './support.js'

const urls = { url: 'http://emqx:18083', mqttUrl: 'mqtt://emqx:11883' }
const read = (env: NodeJS.ProcessEnv) => emqxSettings(loadConfig(Config, { MONGODB_URI: 'mongodb://x', ...env }))

t.test('settings', async (t) => {
  t.test('that are missing are all named', async (t) => {
    t.throws(() => read({ BROKER: 'emqx' }), {
      message:
        /EMQX_URL is required; EMQX_API_KEY is required; EMQX_API_SECRET is required; EMQX_MQTT_URL is required; EMQX_AUTH_SECRET is required/
    })
    t.throws(() => read({ ...emqxEnv(urls), EMQX_API_KEY: '' }), {
      message: /for BROKER=emqx: EMQX_API_KEY is required$/
    })
  })

  t.test('that are wrong are named without their values', async (t) => {
    t.throws(() => read({ ...emqxEnv(urls), EMQX_URL: 'emqx:18083' }), { message: /EMQX_URL must be a URL/ })
    t.throws(() => read({ ...emqxEnv(urls), EMQX_AUTH_SECRET: 'short' }), { message: /^(?!.*short).*EMQX_AUTH_SECRET/ })
  })

  t.test('take the base of the REST API with or without its path', async (t) => {
    for (const url of ['http://emqx:18083', 'http://emqx:18083/', 'http://emqx:18083/api/v5/']) {
      t.equal(read(emqxEnv({ ...urls, url })).url, 'http://emqx:18083/api/v5')
    }
  })
})

t.test('the register of clients', async (t) => {
  const session = (connectedAt: number) => ({
    ...{ tenantId: 't1', clientId: 'c', username: 'u', ip: '', port: 0, keepalive: 0, protoVer: 4, clean: true },
    connectedAt
  })
  function start() {
    const told: string[] = []
    const register = createClientRegister({
      onConnected: ({ connectedAt }) => told.push(`up ${connectedAt}`),
      onDisconnected: ({ connectedAt }, reason) => told.push(`down ${connectedAt} ${reason}`)
    })
    return { told, register }
  }

  t.test('takes the end of an older connection for what it is', async (t) => {
    const { told, register } = start()
    register.connected(session(10))
    register.connected(session(20))
    register.disconnected({ clientId: 'c', connectedAt: 10, at: 21, reason: 'tcp_closed' })
    register.disconnected({ clientId: 'c', connectedAt: 20, at: 22, reason: 'takenover' })
    t.same(told, ['up 10', 'down 10 taken over', 'up 20'])
    t.equal(register.of('c')?.connectedAt, 20)
  })

  t.test('is not fooled by a beginning that comes after its end, or twice', async (t) => {
    const { told, register } = start()
    register.disconnected({ clientId: 'c', connectedAt: 10, at: 15, reason: 'tcp_closed' })
    register.connected(session(10))
    t.same(told, [])
    register.connected(session(20))
    register.connected(session(20))
    register.connected(session(10))
    t.same(told, ['up 20'])
  })

  t.test('goes by the time of the end where the connection is not named', async (t) => {
    const { told, register } = start()
    register.connected(session(20))
    register.disconnected({ clientId: 'c', at: 19, reason: 'tcp_closed' })
    t.ok(register.of('c'))
    register.disconnected({ clientId: 'c', at: 25, reason: 'tcp_closed' })
    t.same(told, ['up 20', 'down 20 tcp_closed'])
  })
})

t.test('filters overlap where some topic is matched by both', async (t) => {
  const pairs: [string, string, boolean][] = [
    ['fleet/#', '#', true],
    ['fleet/#', '+/x', true],
    ['fleet/#', 'fleet', true],
    ['fleet/#', 'plant/#', false],
    ['a/+/c', 'a/b/+', true],
    ['a/+/c', 'a/b/d', false],
    ['a/b', 'a', false],
    ['#', '$SYS/#', false],
    ['$SYS/#', '$SYS/a', true]
  ]
  for (const [one, other, expected] of pairs) {
    t.equal(overlaps(one, other), expected, `${one} and ${other}`)
    t.equal(overlaps(other, one), expected, `${other} and ${one}`)
  }
})

t.test('topics', async (t) => {
  const plain = createTopicSpace({ mountpoint: 'none', tenant: 't1' })
  const mounted = createTopicSpace({ mountpoint: 'tenant', tenant: undefined })

  t.test('name their sender', async (t) => {
    t.same(plain.parse('fleet/m/up/report'), { clientId: 'm', topic: 'fleet/m/up/report' })
    const said = { clientId: 'm', qos: 1, retain: false }
    t.same(plain.parse('$fleetgate/from/m/1/false/$file/f/init'), { ...said, topic: '$file/f/init' })
    t.same(mounted.parse('t1/fleet/m/up/report'), { tenantId: 't1', clientId: 'm', topic: 'fleet/m/up/report' })
    const kept = { tenantId: 't1', clientId: 'm', qos: 2, retain: true }
    t.same(mounted.parse('$fleetgate/from/m/2/true/t1/plant/1'), { ...kept, topic: 'plant/1' })
    t.same(mounted.parse('$fleetgate/from/m/2/true/$delayed/5/t1/plant/1'), { ...kept, topic: '$delayed/5/plant/1' })
    const from = ['$fleetgate/from/', '$fleetgate/from//1/true/x', '$fleetgate/from/m/3/true/x', '$fleetgate/from/m/x']
    for (const topic of ['plant/1', 'fleet/m/up', 'fleet/m/down/x', ...from]) {
      t.equal(plain.parse(topic), undefined, topic)
    }
  })

  t.test('outside of the fleet are for one tenant where no mountpoint keeps them apart', async (t) => {
    t.same(
      [plain, mounted].map((space) => space.mayUsePlainTopics('t1')),
      [true, true]
    )
    t.same(
      [plain, mounted].map((space) => space.mayUsePlainTopics('t2')),
      [false, true]
    )
  })
})
