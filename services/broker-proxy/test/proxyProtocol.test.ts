import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { parseProxyHeader } from '../src/broker/embedded/proxyHeader.js'
import { acknowledge, type RawClient, rawSocket } from './rawClient.js'
import { addUser, callApi, secret, startProxy } from './support.js'

/** Whose a connection is that comes by a load balancer. */
const line = (text: string) => Buffer.from(`${text}\r\n`)
const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const binary = (command: number, family: number, body: number[], length = body.length) =>
  Buffer.concat([signature, Buffer.from([command, family, length >> 8, length & 255, ...body])])
const tcp4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 0x07, 0x5b]
const tcp6 = [0x20, 0x01, 0x0d, 0xb8, ...new Array(11).fill(0), 9, ...new Array(16).fill(0), 0xdc, 0x04, 0x07, 0x5b]
const extra = [3, 0, 4, 1, 2, 3, 4]

t.test('headers of both versions say for whom', async (t) => {
  const known: [what: string, bytes: Buffer, source: { ip: string; port: number } | undefined][] = [
    ['v1, IPv4', line('PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883'), { ip: '192.0.2.7', port: 56324 }],
    ['v1, IPv6', line('PROXY TCP6 2001:db8::9 2001:db8::1 56324 1883'), { ip: '2001:db8::9', port: 56324 }],
    ['v1, unknown', line('PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535'), undefined],
    ['v2, IPv4', binary(0x21, 0x11, tcp4), { ip: '192.0.2.7', port: 56324 }],
    ['v2, IPv6', binary(0x21, 0x21, tcp6), { ip: '2001:db8::9', port: 56324 }],
    ['v2, with more behind the addresses', binary(0x21, 0x11, [...tcp4, ...extra]), { ip: '192.0.2.7', port: 56324 }],
    ['v2, a health check of the proxy', binary(0x20, 0x00, []), undefined],
    ['v2, a local socket', binary(0x21, 0x31, new Array(216).fill(0)), undefined]
  ]
  for (const [what, bytes, source] of known) {
    const read = parseProxyHeader(Buffer.concat([bytes, Buffer.from('MQTT')]))
    t.same(read, { bytes: bytes.length, ...(source ? { source } : {}) }, what)
    for (let cut = 0; cut < bytes.length; cut++)
      t.equal(parseProxyHeader(bytes.subarray(0, cut)), 'incomplete', `${what}, ${cut} bytes of it`)
  }
})

t.test('what is no header is refused as soon as that is certain', async (t) => {
  const wrong: [what: string, bytes: Buffer][] = [
    ['an MQTT CONNECT', Buffer.from([0x10, 0x0c, 0, 4, 0x4d, 0x51, 0x54, 0x54])],
    ['another word', line('PROXX TCP4 192.0.2.7 10.0.0.1 56324 1883')],
    ['no address', line('PROXY TCP4 192.0.2.777 10.0.0.1 56324 1883')],
    ['an address of the other kind', line('PROXY TCP4 2001:db8::9 10.0.0.1 56324 1883')],
    ['no port', line('PROXY TCP4 192.0.2.7 10.0.0.1 x 1883')],
    ['a port that does not exist', line('PROXY TCP4 192.0.2.7 10.0.0.1 65536 1883')],
    ['a word more', line('PROXY TCP4 192.0.2.7 10.0.0.1 1 1883 more')],
    ['a word less', line('PROXY TCP4 192.0.2.7 10.0.0.1 1')],
    ['a line without an end', Buffer.from(`PROXY ${'x'.repeat(200)}`)],
    ['another version', binary(0x31, 0x11, tcp4)],
    ['another command', binary(0x22, 0x11, tcp4)],
    ['too short for IPv4', binary(0x21, 0x11, [1, 2, 3])],
    ['too short for IPv6', binary(0x21, 0x21, tcp4)],
    ['as long as no header is', binary(0x21, 0x11, tcp4, 0xffff)]
  ]
  for (const [what, bytes] of wrong) t.equal(parseProxyHeader(bytes), 'invalid', what)
})

t.test('at the listener', async (t) => {
  const keys = testGuardKeys()
  const parts = await startParts(t)
  const proxy = await startProxy(t, parts, keys, {
    MQTT_PROXY_PROTOCOL_FROM: '127.0.0.0/8',
    MQTT_MAX_CONNECTIONS_PER_ADDRESS: '2',
    MQTT_CONNECT_TIMEOUT_S: '1'
  })
  const api = callApi(proxy, keys)
  await addUser(proxy, keys, { name: 'machine1' })
  const port = Number(new URL(proxy.mqttUrl).port)

  /** A machine behind a proxy that begins with these bytes, one write for each. */
  const behind = (...header: Buffer[]): RawClient => {
    const client = rawSocket(port, acknowledge)
    t.teardown(() => client.socket.destroy())
    for (const bytes of header) client.socket.write(bytes)
    return client
  }
  const logIn = async (client: RawClient, clientId: string) => {
    const login = { clientId, username: 'machine1', password: Buffer.from(secret), keepalive: 0, clean: true }
    client.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, ...login })
    return (await client.next('connack')) as unknown as { returnCode: number }
  }
  const listed = async (clientId: string) =>
    (await api.get(`/api/v2/nodes/fleetgate@127.0.0.1/clients/${clientId}`)).body.result.objects[0]

  await t.test('a client has the address that the proxy tells', async (t) => {
    const first = behind(line('PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883'))
    t.match(await logIn(first, 'behind-1'), { returnCode: 0 })
    t.match(await listed('behind-1'), { ipaddress: '192.0.2.7', port: 56324 })
    const bytes = binary(0x21, 0x21, tcp6)
    const second = behind(...Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))
    t.match(await logIn(second, 'behind-2'), { returnCode: 0 })
    t.match(await listed('behind-2'), { ipaddress: '2001:db8::9', port: 56324 })
    await Promise.all([first.close(), second.close()])
  })

  await t.test('limits count for that address, not for the proxy', async (t) => {
    const header = line('PROXY TCP4 192.0.2.8 10.0.0.1 56324 1883')
    const own = [behind(header), behind(header)]
    for (const [index, client] of own.entries()) t.match(await logIn(client, `own-${index}`), { returnCode: 0 })
    await t.rejects(logIn(behind(header), 'own-3'))
    const other = behind(line('PROXY TCP4 192.0.2.9 10.0.0.1 56324 1883'))
    t.match(await logIn(other, 'other-1'), { returnCode: 0 })
    await Promise.all([...own, other].map((client) => client.close()))
    await until(async () => (await logIn(behind(header), 'own-4').catch(() => ({ returnCode: -1 }))).returnCode === 0, {
      what: 'room for the address again'
    })
  })

  await t.test('without a header there is no way in, and nobody waits for one for ever', async (t) => {
    await t.rejects(logIn(behind(), 'bare'))
    const silent = behind(Buffer.from('PROXY '))
    await until(() => silent.isClosed, { what: 'the end of one who says nothing' })
    t.match(await logIn(behind(binary(0x20, 0x00, [])), 'local'), { returnCode: 0 }, 'the proxy for itself')
  })

  await t.test('who is no proxy cannot choose an address', async (t) => {
    const open = await startProxy(t, parts, keys, {
      DATA_DIR: `${parts.dir}/open`,
      BROKER_NODE: 'open@127.0.0.1',
      MQTT_PROXY_PROTOCOL_FROM: '192.0.2.1, 2001:db8::/32'
    })
    const client = rawSocket(Number(new URL(open.mqttUrl).port))
    client.socket.write(line('PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883'))
    await until(() => client.isClosed, { what: 'the end of what is no MQTT' })
    const wrong = { DATA_DIR: `${parts.dir}/wrong`, MQTT_PROXY_PROTOCOL_FROM: '10.0.0.0/33' }
    await t.rejects(startProxy(t, parts, keys, wrong), /MQTT_PROXY_PROTOCOL_FROM: "10.0.0.0\/33"/)
  })
})
