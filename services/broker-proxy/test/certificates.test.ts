import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { connect } from 'node:tls'
import { quietLog, selfSignedFiles, until } from '@fleetgate/testkit'
import t from 'tap'
import { openListeners } from '../src/broker/embedded/listeners.js'

t.test('a renewed certificate is shown to who comes, and who is there stays', async (t) => {
  const dir = t.testdir({})
  const made = (name: string) => {
    mkdirSync(`${dir}/${name}`)
    return readFileSync(selfSignedFiles(`${dir}/${name}`).certFile)
  }
  const [first, second] = [made('first'), made('second')]
  // As secrets of Kubernetes are mounted: the files are links through a folder that is replaced.
  symlinkSync('first', `${dir}/now`)
  const [certFile, keyFile] = ['mqtt-cert.pem', 'mqtt-key.pem'].map((name) => `${dir}/now/${name}`) as [string, string]
  const accepted: Duplex[] = []
  const listeners = await openListeners({
    options: {
      host: '127.0.0.1',
      ports: { 'mqtt:ssl': 0, 'mqtt:wss': 0 },
      tls: { certFile, keyFile, lookEveryMs: 50 }
    },
    handshakeMs: 5000,
    admit: () => true,
    accept: (stream) => void accepted.push(stream.on('data', (data) => stream.write(data))),
    log: quietLog
  })
  t.teardown(() => listeners.close())
  const open = async (protocol: 'mqtt:ssl' | 'mqtt:wss', ca: Buffer) => {
    const port = listeners.ports.get(protocol) ?? 0
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca })
    t.teardown(() => socket.destroy())
    await new Promise<void>((resolve, reject) => socket.once('secureConnect', () => resolve()).once('error', reject))
    return socket
  }
  const isShown = (ca: Buffer) =>
    Promise.all([open('mqtt:ssl', ca), open('mqtt:wss', ca)]).then(
      () => true,
      () => false
    )
  const stays = await open('mqtt:ssl', first)
  t.ok(await isShown(first))
  t.notOk(await isShown(second))

  symlinkSync('second', `${dir}/next`)
  renameSync(`${dir}/next`, `${dir}/now`)
  await until(() => isShown(second), { what: 'the new certificate', everyMs: 50 })
  const echo = new Promise((resolve) => stays.once('data', (data) => resolve(String(data))))
  stays.write('still here')
  t.equal(await echo, 'still here')

  t.test('one that is broken, or does not fit its key, is left out', async (t) => {
    writeFileSync(`${dir}/second/mqtt-cert.pem.new`, 'no certificate')
    renameSync(`${dir}/second/mqtt-cert.pem.new`, `${dir}/second/mqtt-cert.pem`)
    copyFileSync(`${dir}/first/mqtt-key.pem`, `${dir}/second/mqtt-key.pem`)
    // Several looks at the files.
    await new Promise((resolve) => setTimeout(resolve, 300))
    t.ok(await isShown(second))
    copyFileSync(`${dir}/first/mqtt-cert.pem`, `${dir}/second/mqtt-cert.pem`)
    await until(() => isShown(first), { what: 'the pair that fits', everyMs: 50 })
  })
})
