/** From an MQTT device to the history and an open websocket, through the gateway. */
import { startStackFor, until } from '@fleetgate/testkit'
import mqtt from 'mqtt'
import t from 'tap'
import { WebSocket } from 'ws'

const user = { access_key: 'weather_1', secret_key: 'Abcd1234!', topic_perms: [{ name: 'roof/#', perm: 'PUB|SUB' }] }
const key = 'mqtt-device.device.mast.wind'

t.test(
  'a device publishes: its value is stored, pushed at once, and gone from the push when the user is',
  async (t) => {
    const { api, url, mqttUrl } = await startStackFor(t, {
      services: ['auth', 'devices', 'broker-proxy', 'gateway']
    })
    await api.register()
    const token = await api.login()
    const admin = api.as(token)
    const made = await admin.post('/v2/default/instances/default/users', user)
    t.equal(made.status, 200, made.text)
    const template = {
      ...{ name: 'Mast', topic: 'roof/{device}/wind', auto_create: true },
      entities: [
        { identifier: 'wind', name: 'Wind', type: 'PROPERTY', access_mod: 'R', value_type: 'DOUBLE', pointer: '/w' }
      ]
    }
    const added = await admin.post('/mqtt-device/device-template', template)
    t.equal(added.status, 200, added.text)

    const client = await mqtt.connectAsync(mqttUrl, {
      ...{ clientId: 'mast', username: user.access_key, password: user.secret_key }
    })
    t.teardown(() => client.endAsync(true))
    await client.publishAsync('roof/mast/wind', '{"w": 3.5}', { qos: 1 })
    type Found = { data: { content: { entity_id: string }[] } }
    const entityId = await until(
      async () => (await admin.post<Found>('/entity/search', { keyword: key })).body.data.content[0]?.entity_id,
      { what: 'the entity', everyMs: 100 }
    )

    const query = new URLSearchParams({ Authorization: `Bearer ${token}` })
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/websocket?${query}`)
    t.teardown(() => socket.terminate())
    const pushed: unknown[] = []
    let isClosed = false
    socket.on('message', (text) => void pushed.push(JSON.parse(String(text))))
    socket.on('close', () => {
      isClosed = true
    })
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    socket.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [key], with_values: true } }))
    await until(
      async () => {
        await client.publishAsync('roof/mast/wind', '{"w": 7.25}', { qos: 1 })
        return pushed.length > 0
      },
      { what: 'the push', everyMs: 200 }
    )
    t.match(pushed[0], {
      event_type: 'Exchange',
      payload: { entity_key: [key], values: { [key]: { value: 7.25, value_type: 'DOUBLE' } } }
    })
    const status = await admin.get<{ data: { value: unknown } }>(`/entity/${entityId}/status`)
    t.equal(status.body.data.value, 7.25)

    const changed = await admin.put('/user/password', { old_password: 'Abcd1234!', new_password: 'Efgh5678!' })
    t.equal(changed.status, 200, changed.text)
    await until(() => isClosed, { what: 'the end of the socket with the old token' })
  }
)
