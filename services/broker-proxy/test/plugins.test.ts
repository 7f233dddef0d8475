import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { downTopic } from '@fleetgate/contracts'
import { openStore } from '@fleetgate/store'
import { changeKey, quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import type { Session } from '../src/broker/brokerDriver.js'
import { createDelayed, parseDelayed } from '../src/plugins/delayed.js'
import { createDelayedStore } from '../src/plugins/delayedStore.js'
import { parseRewriteRules, rewrite } from '../src/plugins/rewrite.js'
import { hookRule as rule, startHookServer } from './hookServer.js'
import { addUser, callApi, logIn, record, startProxy } from './support.js'

const node = 'fleetgate@127.0.0.1'
const plugin = (name: string) => `/api/v2/nodes/${node}/plugins/${name}`
const config = (name: string) => `/api/v2/nodes/${node}/plugin_configs/${name}`

const keys = testGuardKeys()
const parts = await startParts(t)
const open = { MQTT_ALLOW_OPEN: 'true', WEB_HOOK_ALLOWED_HOSTS: '127.0.0.1', MQTT_MAX_DELAYED: '3' }
/** Of the whole file: a subtest that restarts it leaves it to the next. */
const start = (env: NodeJS.ProcessEnv = {}) => startProxy(t, parts, keys, env)
let proxy = await start(open)
const api = () => callApi(proxy, keys)
const other = () => callApi(proxy, keys, { tenantId: 't2' })
await addUser(proxy, keys, { name: 'admin001', fields: { admin: true } })
await addUser(proxy, keys, { name: 'nothing1', fields: { default_topic_perm: 'DENY' } })
await addUser(proxy, keys, { tenantId: 't2', name: 'foreign1', fields: { admin: true } })

async function activate(name: string, active: boolean): Promise<void> {
  t.match(await api().put(plugin(name), { active }), { status: 200, body: { code: 0 } }, `${name} ${active}`)
}

const codeOf = async (work: Promise<{ body: { code: number } }>) => (await work).body.code

await t.test('are listed, each with what it is while nobody has switched it', async (t) => {
  const { body } = await api().get(`/api/v2/nodes/${node}/plugins`)
  const states = body.result.map(({ name, active }: { name: string; active: boolean }) => [name, active])
  t.same(states, [
    ['emqx_auth_username', true],
    ['emqx_acl_internal', true],
    ['emqx_retainer', true],
    ['emqx_file_transfer', true],
    ['emqx_mod_rewrite', false],
    ['emqx_delayed_publish', false],
    ['emqx_web_hook', false]
  ])
  t.equal(await codeOf(api().put(plugin('emqx_retainer'), { active: true })), 110, 'started already')
  t.equal(await codeOf(api().put(plugin('emqx_delayed_publish'), { active: false })), 111, 'not started')
  t.not(await codeOf(api().put(plugin('emqx_lua_hook'), { active: true })), 0)
})

await t.test('rewrite rules', async (t) => {
  const rulesOf = (...values: string[]) =>
    parseRewriteRules(new Map(values.map((value, index) => [`rewrite.rule.${index + 1}`, value])))

  t.test('the last one that matches counts, with its groups', async (t) => {
    const rules = rulesOf('x/# ^x/y/(.+)$ z/y/$1', 'x/# ^x/(.+)/1$ y/$1/$2', 'y/+/z/# ^y/(.+)/z/(.+)$ y/z/$2')
    for (const [topic, made] of [
      ['x/y/2', 'z/y/2'],
      ['x/y/1', 'y/y/'],
      ['x/1/1', 'y/1/'],
      ['y/a/z/b/c', 'y/z/b/c'],
      ['x', 'x'],
      ['other/y/2', 'other/y/2'],
      ['$share/g/x/y/2', '$share/g/z/y/2'],
      ['x/y/+', 'z/y/+']
    ] as const) {
      t.equal(rewrite(rules, topic), made, topic)
    }
  })

  t.test('neither touch the topics of the product nor lead there', async (t) => {
    const rules = rulesOf('# ^(.*)$ a/$1', 'to/# ^to/(.*)$ $1')
    for (const topic of ['fleet/m1/up/report', '$file/x/init', 'fleet']) t.equal(rewrite(rules, topic), topic)
    t.equal(rewrite(rules, 'to/fleet/m1/down/execution'), 'to/fleet/m1/down/execution')
    t.equal(rewrite(rules, 'to/'), 'to/')
  })

  t.test('that are none are refused by name', async (t) => {
    for (const wrong of [
      'x/#',
      'x/# ^(.*)$',
      'x/#/y ^ a',
      '# ( a',
      '# (?=x) a',
      '# ^ a/#',
      'fleet/# ^ a',
      '# ^ $file/a'
    ]) {
      t.throws(() => rulesOf(wrong), { message: /rewrite\.rule\.1/ }, wrong)
    }
  })

  t.test('take a time that grows with the topic only', async (t) => {
    const rules = rulesOf('# ^(a+)+$ b')
    const begun = performance.now()
    rewrite(rules, `${'a'.repeat(3000)}!`)
    t.ok(performance.now() - begun < 2000)
  })
})

await t.test('rewrite what clients publish and subscribe to, as long as it is on, for this tenant alone', async (t) => {
  const set = { key: 'rewrite.rule.1', value: 'old/# ^old/(.+)$ new/$1' }
  t.match(await api().put(config('emqx_mod_rewrite'), set), { body: { code: 0 } })
  t.match((await api().get(config('emqx_mod_rewrite'))).body.result, [set, { key: 'rewrite.rule.<n>' }])
  const broken = await api().put(config('emqx_mod_rewrite'), [{ key: 'rewrite.rule.2', value: '# ( x' }])
  t.match(broken, { body: { message: /rewrite\.rule\.2/ } })
  t.equal((await api().get(config('emqx_mod_rewrite'))).body.result.length, 2, 'nothing of it was kept')
  t.match(await api().put(config('emqx_mod_rewrite'), { key: 'other', value: 'x' }), { body: { message: /other/ } })

  const at = (n: number) => ({ key: `rewrite.rule.${n}`, value: `n${n}/# ^n${n}/(.+)$ m${n}/$1` })
  await Promise.all([11, 12, 13].map((n) => api().put(config('emqx_mod_rewrite'), at(n))))
  t.equal(
    (await api().get(config('emqx_mod_rewrite'))).body.result.length,
    5,
    'of several changes at once none is lost'
  )
  await activate('emqx_mod_rewrite', true)
  const [reader, writer] = [await logIn(t, proxy, 'admin001', 'rw-1'), await logIn(t, proxy, 'admin001', 'rw-2')]
  const foreign = await logIn(t, proxy, 'foreign1', 'rw-3')
  const seen = [reader, writer, foreign].map(record)
  await reader.subscribeAsync('new/a', { qos: 1 })
  await writer.subscribeAsync('old/b', { qos: 1 })
  await foreign.subscribeAsync('old/#', { qos: 1 })
  await writer.publishAsync('old/a', 'one', { qos: 1 })
  await reader.publishAsync('new/b', 'two', { qos: 1 })
  await foreign.publishAsync('old/a', 'three', { qos: 1 })
  await until(() => seen.every(({ length }) => length === 1), { what: 'the messages' })
  t.same(
    seen.map(([one]) => [one?.topic, String(one?.payload)]),
    [
      ['new/a', 'one'],
      ['new/b', 'two'],
      ['old/a', 'three']
    ]
  )
  await writer.unsubscribeAsync('old/b')
  await activate('emqx_mod_rewrite', false)
  await reader.publishAsync('new/b', 'nobody', { qos: 1 })
  await reader.subscribeAsync('old/a', { qos: 1 })
  await writer.publishAsync('old/a', 'as it is', { qos: 1 })
  await until(() => seen[0]?.length === 2, { what: 'the plain message' })
  t.equal(seen[0]?.[1]?.topic, 'old/a')
  t.equal(seen[1]?.length, 1, 'the subscription was ended by its written name')
})

await t.test('send messages later, also after a restart, as long as there is room', async (t) => {
  t.same(parseDelayed('$delayed/15/a/b'), { seconds: 15, topic: 'a/b' })
  for (const wrong of [
    '$delayed/x/a',
    '$delayed/-1/a',
    '$delayed/4294968/a',
    '$delayed/5/',
    '$delayed/5/fleet/m/up/report',
    '$delayed/5/$file/a',
    '$delayed/5/a/+'
  ]) {
    t.equal(parseDelayed(wrong), undefined, wrong)
  }
  const first = await logIn(t, proxy, 'admin001', 'later-1')
  const early = record(first)
  await first.subscribeAsync('later/#', { qos: 1 })
  await first.publishAsync('$delayed/0/later/off', 'x', { qos: 1 })
  await activate('emqx_delayed_publish', true)
  const begun = Date.now()
  await first.publishAsync('$delayed/1/later/soon', 'soon', { qos: 1 })
  await until(() => early.length > 0, { what: 'the first message' })
  t.match(early, [{ topic: 'later/soon' }])
  t.ok(Date.now() - begun >= 1000, 'not earlier')
  t.equal(early.length, 1, 'what came while it was off was dropped')
  for (const payload of ['1', '2', '3', '4'])
    await first.publishAsync('$delayed/10/later/kept', payload, { qos: 1, retain: payload === '3' })
  await first.endAsync(true)
  await proxy.stop()
  proxy = await start(open)
  const second = await logIn(t, proxy, 'admin001', 'later-2')
  const late = record(second)
  await second.subscribeAsync('later/#', { qos: 1 })
  await until(() => late.length >= 3, { what: 'what was kept', deadlineMs: 60_000 })
  t.same(new Set(late.map(({ payload }) => String(payload))), new Set(['1', '2', '3']), 'the fourth found no room')
  const third = await logIn(t, proxy, 'admin001', 'later-3')
  const retained = record(third)
  await third.subscribeAsync('later/#', { qos: 1 })
  await until(() => retained.length === 1, { what: 'the retained one' })
  t.match(retained, [{ topic: 'later/kept', retain: true }])
})

await t.test('send what one client has delayed in its order, however long one of them takes', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'delayed_order', log: quietLog })
  t.teardown(() => store.close())
  const sent: string[] = []
  let at = 1_000_000
  const delayed = createDelayed({
    store: createDelayedStore(store),
    bus: { uplink: async () => undefined },
    driver: {
      async publish(_tenantId, { payload }) {
        if (sent.length === 0) await delay(50)
        sent.push(String(payload))
      }
    },
    onPublished: () => undefined,
    maxWaiting: 100,
    now: () => at,
    log: quietLog
  })
  const from = { tenantId: 't1', clientId: 'c', username: 'u' } as Session
  const texts = Array.from({ length: 30 }, (_, index) => String(index))
  const wish = { seconds: 1, topic: 'a' }
  const keep = (text: string) =>
    delayed.keep(from, wish, { topic: '', payload: Buffer.from(text), qos: 1, retain: false })
  await Promise.all(texts.map(keep))
  at += 1000
  delayed.start()
  await until(() => sent.length >= texts.length, { what: 'all of them' })
  await delayed.stop()
  t.same(sent, texts)
})

await t.test('tell a URL what happens, and never hold up the broker', async (t) => {
  const { port, heard } = await startHookServer(t, { failures: 1 })
  t.not(await codeOf(api().put(plugin('emqx_web_hook'), { active: true })), 0, 'it needs its URL')
  for (const [key, value] of [
    ['web.hook.api.url', 'ftp://127.0.0.1/'],
    ['web.hook.encode_payload', 'base62'],
    ['web.hook.rule.message.publish.1', '{"action":"on_client_connected"}'],
    ['web.hook.rule.message.publish.1', '{"action":"on_message_publish","topic":"a/#/b"}'],
    ['web.hook.rule.message.publish.1', 'no json'],
    ['web.hook.headers.x-key', 'a\r\nb'],
    ['web.hook.headers.x-key', '€'],
    ['web.hook.headers.content-length', '5'],
    ['web.hook.rule.message.acked.1', '{}'],
    ['web.hook.rule.session.subscribed.1', '{"action":"on_session_subscribed","topic":"a/#/b"}'],
    ['web.hook.rule.message.dropped.1', '{}']
  ] as const) {
    t.match(await api().put(config('emqx_web_hook'), { key, value }), { body: { message: new RegExp(key) } }, value)
  }
  const settings = [
    { key: 'web.hook.api.url', value: `http://127.0.0.1:${port}/hook` },
    { key: 'web.hook.headers.x-key', value: 'not to be seen' },
    rule('client.connected'),
    rule('client.disconnected'),
    rule('message.publish', { topic: 'told/#' })
  ]
  t.equal(await codeOf(api().put(config('emqx_web_hook'), settings)), 0)
  const shown = await api().get(config('emqx_web_hook'))
  t.match(shown.body.result, [settings[0], { key: 'web.hook.headers.x-key', value: '******' }])
  t.notMatch(JSON.stringify(shown.body), 'not to be seen')
  t.equal((await other().get(config('emqx_web_hook'))).body.result[0].value, '', 'another tenant has its own')
  await activate('emqx_web_hook', true)

  const client = await logIn(t, proxy, 'admin001', 'hook-1')
  await client.publishAsync('told/a', 'ü', { qos: 1 })
  await client.publishAsync('untold/a', 'x', { qos: 1 })
  await client.endAsync()
  await until(() => heard.length >= 3, { what: 'the events', deadlineMs: 30_000 })
  const events = new Map(heard.map(({ body }) => [body.action, body]))
  t.match(events.get('client_connected'), {
    client_id: 'hook-1',
    username: 'admin001',
    ipaddress: '127.0.0.1',
    conn_ack: 0
  })
  t.match(events.get('message_publish'), {
    from_client_id: 'hook-1',
    topic: 'told/a',
    qos: 1,
    retain: false,
    payload: 'ü'
  })
  t.match(events.get('client_disconnected'), { client_id: 'hook-1', reason: String })
  t.equal(heard.length, 3, 'each once, one of them at the second try')
  t.ok(heard.every(({ key }) => key === 'not to be seen'))

  t.test('not an address that is not allowed', async (t) => {
    await api().put(config('emqx_web_hook'), { key: 'web.hook.api.url', value: `http://127.0.0.2:${port}/` })
    const next = await logIn(t, proxy, 'admin001', 'hook-2')
    await next.publishAsync('told/a', 'x', { qos: 1 })
    await api().put(config('emqx_web_hook'), { key: 'web.hook.api.url', value: `http://127.0.0.1:${port}/` })
    await next.publishAsync('told/b', 'x', { qos: 1 })
    await until(() => heard.length >= 4, { what: 'the event after that' })
    t.notOk(heard.some(({ body }) => body.topic === 'told/a' && body.from_client_id === 'hook-2'))
  })

  await t.test('of sessions, subscriptions and messages on their way to clients too', async (t) => {
    const topics = ['client.subscribe', 'client.unsubscribe', 'session.subscribed', 'session.unsubscribed']
    const wanted = [
      ...['session.created', 'session.terminated'].map((event) => rule(event)),
      ...[...topics, 'message.acked'].map((event) => rule(event, { topic: 'told/#' })),
      rule('message.delivered')
    ]
    t.equal(await codeOf(api().put(config('emqx_web_hook'), wanted)), 0)
    const told = (action: string, clientId: string) =>
      heard
        .filter(({ body }) => body.action === action && [body.client_id, body.from_client_id].includes(clientId))
        .map(({ body: { action: _action, client_id: _id, username: _name, ts: _ts, ...facts } }) => facts)
    const come = (count: number, action: string, clientId: string) =>
      until(() => told(action, clientId).length >= count, { what: `${count} ${action} of ${clientId}` })

    const kept = await logIn(t, proxy, 'admin001', 'hook-k', { clean: false })
    const clean = await logIn(t, proxy, 'admin001', 'hook-c')
    await kept.subscribeAsync({ 'told/q': { qos: 1 }, untold: { qos: 1 } })
    await clean.subscribeAsync({ 'told/#': { qos: 2 }, [downTopic('hook-c', 'file-info')]: { qos: 1 } })
    await come(1, 'session_subscribed', 'hook-k')
    t.same(told('session_created', 'hook-k'), [{}])
    for (const action of ['client_subscribe', 'session_subscribed']) {
      await come(1, action, 'hook-c')
      t.same(told(action, 'hook-k'), [{ topic: 'told/q', opts: { qos: 1 } }])
      t.same(told(action, 'hook-c'), [{ topic: 'told/#', opts: { qos: 2 } }])
    }

    const sender = await logIn(t, proxy, 'admin001', 'hook-s')
    const query = JSON.stringify({ requestId: 'r1', sha256: 'a'.repeat(64) })
    await clean.publishAsync('fleet/hook-c/up/file-query', query, { qos: 1 })
    await sender.publishAsync('told/q', 'once', { qos: 1 })
    await sender.publishAsync('told/z', 'exact', { qos: 2 })
    await sender.publishAsync('told/z', 'maybe', { qos: 0 })
    const from = { from_client_id: 'hook-s', from_username: 'admin001', retain: false }
    const [once, exact] = [
      { ...from, topic: 'told/q', qos: 1, payload: 'once' },
      { ...from, topic: 'told/z', qos: 2, payload: 'exact' }
    ]
    await come(3, 'message_delivered', 'hook-c')
    t.same(new Set(told('message_delivered', 'hook-c')), new Set([once, exact, { ...exact, qos: 0, payload: 'maybe' }]))
    await come(2, 'message_acked', 'hook-c')
    t.same(new Set(told('message_acked', 'hook-c')), new Set([once, exact]))
    await come(1, 'message_acked', 'hook-k')
    t.same(told('message_delivered', 'hook-k'), [once])
    t.same(told('message_acked', 'hook-k'), [once])

    await api().post('/api/v2/mqtt/publish', { topic: 'told/q', payload: 'api', qos: 0, client_id: 'back-office' })
    await come(1, 'message_publish', 'back-office')
    t.match(told('message_publish', 'back-office'), [{ from_username: '', payload: 'api' }])

    await clean.unsubscribeAsync(['told/#', 'told/never'])
    await clean.endAsync()
    await kept.endAsync()
    await come(2, 'client_unsubscribe', 'hook-c')
    await come(1, 'session_terminated', 'hook-c')
    t.same(told('session_unsubscribed', 'hook-c'), [{ topic: 'told/#' }])
    await (await logIn(t, proxy, 'admin001', 'hook-k', { clean: false })).endAsync()
    await logIn(t, proxy, 'admin001', 'hook-k')
    await come(2, 'session_created', 'hook-k')
    t.same(told('session_terminated', 'hook-k'), [{ reason: 'destroy' }], 'that of an absent client goes on')
    t.equal(told('session_subscribed', 'hook-k').length, 1, 'and its subscriptions with it')
    t.notOk(
      heard.some(({ body }) => String(body.topic).startsWith('fleet/')),
      'what we say to machines is not meant by #'
    )
  })
})

await t.test('switch file transfer', async (t) => {
  const client = await logIn(t, proxy, 'admin001', 'files-1')
  const told = record(client)
  await client.subscribeAsync(downTopic('files-1', 'file-info'), { qos: 1 })
  const query = JSON.stringify({ requestId: 'r1', sha256: 'a'.repeat(64) })
  await activate('emqx_file_transfer', false)
  await client.publishAsync('fleet/files-1/up/file-query', query, { qos: 1 })
  await until(() => told.length === 1, { what: 'the refusal' })
  t.match(JSON.parse(String(told[0]?.payload)), { stored: false, error: 'file transfer is switched off' })
  await client.publishAsync('$file/f1/init', '{"name":"a","size":1}', { qos: 1 })
  await until(() => told.length === 2, { what: 'the refusal of an upload' })
  t.match(JSON.parse(String(told[1]?.payload)), { requestId: 'f1', error: 'file transfer is switched off' })
  await activate('emqx_file_transfer', true)
  await client.publishAsync('fleet/files-1/up/file-query', query, { qos: 1 })
  await until(() => told.length === 3, { what: 'the answer' })
  t.notMatch(JSON.parse(String(told[2]?.payload)), { error: String })
})

await t.test('are switched and set at every replica', async (t) => {
  const replica = await start({ ...open, BROKER_NODE: 'other@127.0.0.1', DATA_DIR: join(parts.dir, 'other') })
  const [reader, writer] = [
    await logIn(t, replica, 'admin001', 'there-1'),
    await logIn(t, replica, 'admin001', 'there-2')
  ]
  const seen = record(reader)
  await reader.subscribeAsync('replica/#', { qos: 1 })
  const said = async (topic: string) => {
    await writer.publishAsync('here', '', { qos: 1 })
    return seen.at(-1)?.topic === topic
  }
  await api().put(config('emqx_mod_rewrite'), { key: 'rewrite.rule.1', value: 'here ^here$ replica/first' })
  await activate('emqx_mod_rewrite', true)
  await until(() => said('replica/first'), { what: 'the rule at the replica', deadlineMs: 20_000 })
  await api().put(config('emqx_mod_rewrite'), { key: 'rewrite.rule.1', value: 'here ^here$ replica/second' })
  await until(() => said('replica/second'), { what: 'the changed rule at the replica', deadlineMs: 20_000 })
  await activate('emqx_mod_rewrite', false)
  await replica.stop()
})

await t.test('open a tenant to its own users, where the operator allows it', async (t) => {
  const wrong = { password: 'wrong', reconnectPeriod: 0 }
  await t.rejects(logIn(t, proxy, 'nothing1', 'open-0', wrong))
  await activate('emqx_auth_username', false)
  await activate('emqx_acl_internal', false)
  const client = await logIn(t, proxy, 'nothing1', 'open-1', wrong)
  const seen = record(client)
  await client.subscribeAsync('anything/#', { qos: 1 })
  await client.publishAsync('anything/at/all', 'x', { qos: 1 })
  await until(() => seen.length === 1, { what: 'the message' })
  await t.rejects(logIn(t, proxy, 'foreign1', 'open-2', wrong), 'another tenant')
  await t.rejects(logIn(t, proxy, 'nobody01', 'open-3', wrong), 'no user of any tenant')
  await client.publishAsync('fleet/other/down/execution', 'x', { qos: 1 })
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
  await activate('emqx_acl_internal', true)
  await client.publishAsync('anything/at/all', 'y', { qos: 1 })
  await activate('emqx_auth_username', true)
  await closed
  t.equal(seen.length, 1, 'its rights are asked for again')
  await t.rejects(logIn(t, proxy, 'nothing1', 'open-4', wrong))

  t.test('and not where he does not', async (t) => {
    await activate('emqx_auth_username', false)
    await proxy.stop()
    proxy = await start()
    await t.rejects(logIn(t, proxy, 'nothing1', 'open-5', wrong))
    t.not(await codeOf(api().put(plugin('emqx_acl_internal'), { active: false })), 0)
  })
})

await t.test('are sealed anew with the users when the secrets key changes', async (t) => {
  const settings = (await api().get(config('emqx_mod_rewrite'))).body.result
  const change = await changeKey(t, parts, 'fleetgate_broker_proxy')
  t.match(change.before, { mqttUsers: 3, plugins: Number })
  const startWith = (file: string) =>
    start({ ...open, BROKER_NODE: 'keys@127.0.0.1', DATA_DIR: join(parts.dir, 'keys'), SECRETS_KEY_FILE: file })
  const changing = await startWith(change.both)
  await change.sealedAnew()
  await changing.stop()
  await proxy.stop()
  proxy = await start({ ...open, SECRETS_KEY_FILE: change.newest })
  t.same((await api().get(config('emqx_mod_rewrite'))).body.result, settings)
  await logIn(t, proxy, 'admin001', 'keys-1')
})
