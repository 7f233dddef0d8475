import { freePort, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { hookRule, startHookServer } from '../hookServer.js'
import { addUser, callApi, logIn, record, startProxy } from '../support.js'
import { emqxEnv, startOnEmqx, startOnStandIn, untilListening } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const place = '/api/v2/nodes/fleetgate@127.0.0.1'
const q1 = { qos: 1 } as const
const hosts = { WEB_HOOK_ALLOWED_HOSTS: '127.0.0.1' }

for (const mountpoint of ['none', 'tenant'] as const) {
  await t.test(`messages for later, with mountpoint ${mountpoint}`, async (t) => {
    const start = mountpoint === 'none' ? startOnEmqx : startOnStandIn
    const proxy = await start(t, { parts, keys, env: { EMQX_MOUNTPOINT: mountpoint } })
    const api = callApi(proxy, keys)
    if (mountpoint === 'none') await addUser(proxy, keys, { name: 'admin001', fields: { admin: true } })
    const sender = await logIn(t, proxy, 'admin001', `later-${mountpoint}`)
    const reader = await logIn(t, proxy, 'admin001', `reader-${mountpoint}`)
    const got = record(reader)
    await reader.subscribeAsync(mountpoint === 'none' ? 'later/#' : '#', q1)
    const said = () => got.map(({ topic, payload }) => [topic, String(payload)])
    const switchTo = (active: boolean) => api.put(`${place}/plugins/emqx_delayed_publish`, { active })

    await switchTo(false)
    await sender.publishAsync('$delayed/0/later/off', 'off', q1)
    t.match((await switchTo(true)).body, { code: 0 })
    const begun = Date.now()
    await sender.publishAsync('$delayed/2/later/kept', 'kept', { qos: 1, retain: true })
    await sender.publishAsync('$delayed/x/later/wrong', 'wrong', q1)
    await sender.publishAsync('later/now', 'now', q1)
    await until(() => got.length >= 2, { what: 'the later one' })
    t.same(said(), [
      ['later/now', 'now'],
      ['later/kept', 'kept']
    ])
    t.ok(Date.now() - begun >= 2000, 'not earlier')
    const late = await logIn(t, proxy, 'admin001', `late-${mountpoint}`)
    const found = record(late)
    await late.subscribeAsync('later/+', q1)
    await until(() => found.length > 0, { what: 'what is retained' })
    t.match(found, [{ topic: 'later/kept', retain: true }], 'as it was sent')
    await sender.publishAsync('later/kept', '', { qos: 1, retain: true })
  })
}

await t.test('web hooks', async (t) => {
  const proxy = await startOnEmqx(t, { parts, keys, env: hosts })
  const api = callApi(proxy, keys)
  const { port, heard } = await startHookServer(t)
  const topics = ['client.subscribe', 'session.subscribed', 'client.unsubscribe', 'session.unsubscribed']

  t.test('refuse rules for what EMQX does not tell', async (t) => {
    for (const event of ['session.created', 'session.terminated', 'message.delivered', 'message.acked']) {
      const refused = await api.put(`${place}/plugin_configs/emqx_web_hook`, hookRule(event))
      t.match(refused.body, { code: Number, message: new RegExp(`has no setting.*${event}`) })
      t.not(refused.body.code, 0)
    }
    const shown = await api.get(`${place}/plugin_configs/emqx_web_hook`)
    const keysShown = shown.body.result.map(({ key }: { key: string }) => key)
    t.ok(keysShown.includes('web.hook.rule.message.publish.<n>'))
    t.notOk(keysShown.includes('web.hook.rule.message.acked.<n>'))
  })

  t.test('are told each event once, however many replicas there are', async (t) => {
    const settings = [
      { key: 'web.hook.api.url', value: `http://127.0.0.1:${port}/hook` },
      ...['client.connected', 'client.disconnected'].map((event) => hookRule(event)),
      ...[...topics, 'message.publish'].map((event) => hookRule(event, { topic: 'told/#' }))
    ]
    t.match((await api.put(`${place}/plugin_configs/emqx_web_hook`, settings)).body, { code: 0 })
    t.match((await api.put(`${place}/plugins/emqx_web_hook`, { active: true })).body, { code: 0 })
    const told = (id: string) => heard.map(({ body }) => body).filter((body) => Object.values(body).includes(id))
    const env = { ...emqxEnv(proxy.broker), ...hosts, EMQX_REPLICA: 'second', PORT: String(await freePort()) }
    await startProxy(t, parts, keys, env)
    await untilListening(proxy.broker.url, 'second')
    const client = await logIn(t, proxy, 'admin001', 'hook-1', { keepalive: 77 })
    await client.subscribeAsync({ 'told/#': { qos: 1 }, 'other/#': { qos: 1 } })
    await client.publishAsync('told/a', 'ü', { qos: 0, retain: true })
    await client.publishAsync('untold/a', 'x', q1)
    await client.unsubscribeAsync(['told/#', 'other/#'])
    await client.endAsync()
    await until(() => told('hook-1').length >= 7, { what: 'the events' })
    const after = await logIn(t, proxy, 'admin001', 'hook-2')
    await after.publishAsync('told/a', '', { qos: 1, retain: true })
    await after.endAsync()
    await until(() => told('hook-2').length >= 3, { what: 'what comes after them' })
    t.same(
      told('hook-1')
        .map(({ action }) => action)
        .sort(),
      [
        ...['client_connected', 'client_disconnected', 'client_subscribe', 'client_unsubscribe', 'message_publish'],
        ...['session_subscribed', 'session_unsubscribed']
      ]
    )
    const event = (wanted: string) => told('hook-1').find(({ action }) => action === wanted)
    t.match(event('client_connected'), { username: 'admin001', ipaddress: '127.0.0.1', keepalive: 77, conn_ack: 0 })
    t.match(event('client_disconnected'), { reason: 'normal' })
    t.match(event('session_subscribed'), { topic: 'told/#', opts: { qos: 1 } })
    t.match(event('message_publish'), { from_client_id: 'hook-1', topic: 'told/a', qos: 0, retain: true, payload: 'ü' })
  })
})

await t.test('permissions switched off and on count at once, whatever EMQX remembers', async (t) => {
  const proxy = await startOnEmqx(t, { parts, keys, env: { MQTT_ALLOW_OPEN: 'true' } })
  const api = callApi(proxy, keys)
  const switchTo = (active: boolean) => api.put(`${place}/plugins/emqx_acl_internal`, { active })
  await addUser(proxy, keys, { name: 'norights' })
  const client = await logIn(t, proxy, 'norights', 'open-1')
  const isOnline = async () => (await api.get('/api/v2/clients/open-1')).body.result.objects.length === 1
  await until(isOnline, { what: 'the client' })
  const subscribe = () => client.subscribeAsync('opened/#', q1)
  await t.rejects(subscribe())
  t.match((await switchTo(false)).body, { code: 0 })
  await until(() => subscribe().then(Boolean, () => false), { what: 'the end of a remembered denial' })
  t.match((await switchTo(true)).body, { code: 0 })
  const isDropped = async () => (await api.get('/api/v2/subscriptions/open-1')).body.result.objects.length === 0
  await until(isDropped, { what: 'the end of the subscription' })
  await t.rejects(subscribe())
})

await t.test('what EMQX has for all tenants together is not there, and says why', async (t) => {
  const proxy = await startOnStandIn(t, { parts, keys })
  const api = callApi(proxy, keys)
  const { body } = await api.get(`${place}/plugins`)
  const names = body.result.map(({ name }: { name: string }) => name)
  t.same(names, [
    ...['emqx_auth_username', 'emqx_acl_internal', 'emqx_file_transfer'],
    ...['emqx_delayed_publish', 'emqx_web_hook']
  ])
  for (const name of ['emqx_retainer', 'emqx_mod_rewrite']) {
    const refusal = { code: 102, message: /is not there with this broker: its .* all tenants/ }
    t.match((await api.put(`${place}/plugins/${name}`, { active: true })).body, refusal, name)
    t.match((await api.get(`${place}/plugin_configs/${name}`)).body, refusal, name)
  }
})
