import ssh2 from 'ssh2'
import t from 'tap'
import { type SshHost, startSshHosts, until } from '../src/index.js'

const kinds = process.env.FLEETGATE_SSH_HOSTS ? ['folders'] : ['as this machine allows', 'folders']

function exec(host: SshHost, privateKey: string, line: string, username = 'root'): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client()
    client.on('error', reject)
    client.on('ready', () =>
      client.exec(line, (error, channel) => {
        if (error) return reject(error)
        let out = ''
        channel.on('data', (chunk: Buffer) => {
          out += chunk
        })
        channel.on('close', () => {
          client.end()
          resolve(out)
        })
      })
    )
    client.connect({ host: host.address, port: host.port, username, privateKey, readyTimeout: 3000 })
  })
}

for (const kind of kinds) {
  await t.test(`hosts: ${kind}`, async (t) => {
    if (kind === 'folders') process.env.FLEETGATE_SSH_HOSTS = 'folders'
    const { hosts, privateKey } = await startSshHosts(t, { count: 2 })
    const [first, second] = hosts as [SshHost, SshHost]
    const line = 'echo kept > "$FLEETGATE_ROOT/var/lib/mark"; cat "$FLEETGATE_ROOT/var/lib/mark"'
    t.equal(await exec(first, privateKey, line), 'kept\n')
    t.ok(first.files().includes('/var/lib/mark'))
    t.notOk(second.files().includes('/var/lib/mark'), 'each has a disk of its own')
    await exec(first, privateKey, 'sleep 1000 >/dev/null 2>&1 &')
    t.ok((await first.programs()).includes('sleep'))
    await first.kill()
    await t.rejects(exec(first, privateKey, 'true'))
    await first.start()
    t.equal(await exec(first, privateKey, 'cat "$FLEETGATE_ROOT/var/lib/mark"'), 'kept\n', 'the disk outlives it')
    t.notOk((await first.programs()).includes('sleep'))
    const broken = exec(second, privateKey, 'sleep 1000').catch(() => '')
    await until(async () => (await second.programs()).includes('sleep'), { what: 'the program to run' })
    t.equal(await second.logins(), 1)
    await second.disconnect()
    t.equal(await broken, '')
    await until(async () => (await second.logins()) === 0, { what: 'the log-in to be over' })
    t.ok((await second.programs()).includes('sleep'), 'what runs outlives the connection')
    t.equal(await exec(second, privateKey, 'echo again'), 'again\n')
    const other = ssh2.utils.generateKeyPairSync('ed25519').private
    await t.rejects(exec(second, other, 'true'), 'a wrong key opens nothing')
  })
}
