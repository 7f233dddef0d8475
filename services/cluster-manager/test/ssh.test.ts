import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, createReadStream, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { createSecrets, loadKeyRing } from '@fleetgate/store'
import { type SshHost, sshKeyPair, startSshHosts } from '@fleetgate/testkit'
import ssh2 from 'ssh2'
import t from 'tap'
import type { Host } from '../src/clusters/cluster.js'
import { createHostRunner, loginContext } from '../src/hosts/hostRunner.js'
import { programOf, valuesText } from '../src/hosts/runText.js'
import { factsOf } from '../src/operations/facts.js'
import { connectHost } from '../src/ssh/connect.js'
import { openShell } from '../src/ssh/shell.js'

const hosts = await startSshHosts(t, { count: 1 })
const [one] = hosts.hosts as [SshHost]
const login = { address: one.address, port: one.port, user: 'root', privateKey: hosts.privateKey }
const connection = await connectHost(login, 20_000)
t.teardown(() => connection.close())
const { signal } = new AbortController()

// A server of this process puts off acknowledgements of its own.
if (hosts.isReal) {
  await t.test('a login waits for no acknowledgement that is put off', async (t) => {
    const times: number[] = []
    for (let login = 0; login < 10; login++) times.push(await timeLogin())
    // Each one put off is 40 ms, and without care there are six of them. The shortest is what a busy machine has least to do with.
    t.ok(Math.min(...times) < 200, `a login takes ${times.map(Math.round)} ms`)
  })
}

async function timeLogin(): Promise<number> {
  const begun = performance.now()
  const opened = await connectHost(login, 20_000)
  await opened.exec('true', { signal })
  opened.close()
  return performance.now() - begun
}

await t.test('a file that cannot be read any more fails what it was for, and nothing else', async (t) => {
  const input = createReadStream('/no/such/file')
  await t.rejects(connection.exec('cat >/dev/null', { input, signal }), { kind: 'refused', message: /ENOENT/ })
  t.match(await connection.exec('echo still here', { signal }), { code: 0, output: 'still here\n' })
})

await t.test('what was given up before it began does not begin', async (t) => {
  await t.rejects(connection.exec('sleep 600', { signal: AbortSignal.abort() }))
})

await t.test('a host that does not stop talking fills no memory', async (t) => {
  const lines: string[] = []
  const onLine = (line: string) => lines.push(line)
  await connection.exec(`head -c 3000000 /dev/zero | tr '\\0' x; echo; echo 'naïve, 日本'`, { onLine, signal })
  t.same(
    lines.map(({ length }) => length),
    [4_000, 9]
  )
  t.equal(lines.at(-1), 'naïve, 日本')
})

const echo = `printf '%sready\\n' "$mark"
while IFS= read -r line; do
  case $line in hang) echo begun; exec sleep 600 ;; esac
  printf '%s' "$line"
  printf '\\n%s%s\\n' "$mark" "\${#line}"
done
`

await t.test('a shell takes one request after the other, and ends with the one that is given up', async (t) => {
  const shell = openShell(connection, 'exec sh -s 2>&1', echo)
  const lines: string[] = []
  const onLine = (line: string) => lines.push(line)
  t.equal(await shell.run('one; exit 9\n', { onLine, signal }), 11)
  t.equal(await shell.run('$(two)\n', { onLine, signal }), 6)
  t.same(lines, ['one; exit 9', '$(two)'])
  const given = new AbortController()
  const running = shell.run('hang\n', { onLine: () => given.abort(), signal: given.signal })
  await t.rejects(running, { kind: 'lost', message: /given up/ })
  t.notOk(shell.isOpen())
})

await t.test('a shell that ends by itself says how', async (t) => {
  const shell = openShell(connection, "echo 'problem no sudo' >&2; exit 77", echo)
  const lines: string[] = []
  t.equal(await shell.run('never\n', { onLine: (line) => lines.push(line), signal }), 77)
  t.same(lines, ['problem no sudo'])
  t.notOk(shell.isOpen())
})

const secrets = createSecrets({ keys: loadKeyRing({ value: `one:${Buffer.alloc(32, 1).toString('base64')}` }) })

const settings = { connectMs: 20_000, lostMs: 0 }

/** Writes each value to a file of its own, and whether anybody could have read a secret meanwhile. */
const tell = `
for key in $in_tell; do eval "printf %s \\"\\$in_$key\\"" >"$base/told-$key"; done
{
  [ ! -e "$here/input" ] || stat -c %a "$here" "$here/input"
  grep -l -a '[h]unter2' /proc/[0-9]*/environ /proc/[0-9]*/cmdline
} >"$base/told-mode" 2>/dev/null
exit 0
`
const every = String.fromCharCode(...Array.from({ length: 255 }, (_, index) => index + 1))
const hostile: Record<string, string> = {
  quotes: `it's "$(touch /tmp/made)" \`touch /tmp/made\` \\ ; touch /tmp/made; ' $HOME \\n %s * ~`,
  blanks: ' \t around\\',
  option: '-n',
  lines: "+plus\n=\nin_quotes=x\n0 direct o c 1 0 removed.sh\n\n\nVALUES\n$(touch /tmp/made)\n'\n\n",
  every,
  secret: 'hunter2',
  long: `${every}$(touch /tmp/made)'`.repeat(250).slice(0, 65_536)
}

await t.test('values come byte for byte and run nothing, whatever is in them', async (t) => {
  const common = new URL('../../profiles/common/', import.meta.url)
  const scripts = readdirSync(common).map((name) => ({ name, content: readFileSync(new URL(name, common), 'utf8') }))
  const program = programOf([...scripts, { name: 'tell.sh', content: tell }])
  const input = valuesText({ ...hostile, tell: Object.keys(hostile).join(' ') })
  letOperatorBecomeRoot(one)
  for (const user of ['root', 'operator']) {
    const sealedLogin = secrets.seal(JSON.stringify({ privateKey: hosts.privateKey }), loginContext('a'))
    const host = { id: 'a', ip: one.address, port: one.port, user, sealedLogin } as Host
    const runner = createHostRunner({ secrets, settings })
    for (const [id, mode] of [
      ['a.1.tell', '700\n600\n'],
      ['direct', '']
    ] as const) {
      await one.run('mkdir -p $FLEETGATE_ROOT/var/lib/fleetgate')
      const names = { id, operationId: 'a', clusterId: 'c', epoch: 1, last: true, program, scripts: ['tell.sh'], input }
      await runner.run(host, { ...names, timeoutMs: 60_000, patient: false, onLine: () => {}, signal })
      const told = (key: string) => readFileSync(join(one.disk, 'var/lib/fleetgate', `told-${key}`), 'utf8')
      for (const [key, text] of Object.entries(hostile)) t.ok(told(key) === text, `${id} as ${user}: ${key}`)
      t.equal(told('mode'), mode, 'in a file of mode 600, and in no environment or command line')
      t.notMatch(await one.run('ls /tmp'), /made/)
      t.notOk(
        one.files().some((file) => /input/.test(file)),
        'and is gone with the run'
      )
      await one.run('rm -r $FLEETGATE_ROOT/var/lib/fleetgate')
    }
    runner.close()
  }
})

/** By a stand-in of sudo, which asks for no password. */
function letOperatorBecomeRoot({ disk }: SshHost): void {
  const become = join(disk, 'usr/local/bin/become')
  mkdirSync(dirname(become), { recursive: true })
  copyFileSync(execFileSync('sh', ['-c', 'command -v setpriv'], { encoding: 'utf8' }).trim(), become)
  chmodSync(become, 0o4755)
  const drop = 'while case $1 in -*) true ;; *) false ;; esac; do shift; done'
  // Where it cannot be had at this place, the host is a folder whose programs are root's, or all of one user.
  const exec = '[ ! -u /usr/local/bin/become ] || exec /usr/local/bin/become --reuid 0 --regid 0 --clear-groups "$@"'
  writeFileSync(join(disk, 'usr/local/bin/sudo'), `#!/bin/sh\n${drop}\n${exec}\nexec "$@"\n`, { mode: 0o755 })
}

await t.test('a host that does not answer is not waited for by what was given up', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const sealedLogin = secrets.seal(JSON.stringify({ password: 'any' }), loginContext('a'))
  const host = { id: 'a', ip: '127.0.0.1', port, user: 'root', sealedLogin } as Host
  const runner = createHostRunner({ secrets, settings: { connectMs: 60_000, lostMs: 60_000 } })
  t.teardown(() => runner.close())
  const given = new AbortController()
  const names = {
    id: 'direct',
    operationId: 'a',
    clusterId: 'a',
    epoch: 1,
    last: false,
    program: '',
    scripts: [],
    input: ''
  }
  const more = { timeoutMs: 60_000, patient: true, onLine: () => {}, signal: given.signal }
  const running = runner.run(host, { ...names, ...more })
  const [socket] = await once(silent, 'connection')
  t.teardown(() => socket.destroy())
  given.abort(new Error('given up'))
  await t.rejects(running, /given up/)
})

await t.test('the key of a bastion is recorded where that of the host was given', async (t) => {
  const { privateKey } = hosts
  const host = {
    id: 'a',
    ip: one.address,
    port: one.port,
    user: 'root',
    hostKey: connection.hostKey,
    bastion: { ip: one.address, port: one.port, user: 'operator' },
    sealedLogin: secrets.seal(JSON.stringify({ privateKey, bastion: { privateKey } }), loginContext('a'))
  } as Host
  const told: unknown[] = []
  const runner = createHostRunner({ secrets, settings, onKeys: (_host, { bastionKey }) => told.push(bastionKey) })
  t.teardown(() => runner.close())
  await runner.reach(host)
  t.same(told, [connection.hostKey])
})

await t.test('a bastion that never answers for the way on is given up in time', async (t) => {
  const silent = new ssh2.Server({ hostKeys: [sshKeyPair().private] }, (client) => {
    client.on('error', () => {})
    client.on('authentication', (asked) => asked.accept())
    client.on('tcpip', () => {})
  }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const bastion = { address: '127.0.0.1', port: (silent.address() as AddressInfo).port, user: 'any', password: 'any' }
  await t.rejects(connectHost({ ...login, bastion }, 1_000), {
    kind: 'unreachable',
    message: /does not answer in time/
  })
})

await t.test('what a host says of its address is taken only where it is one', (t) => {
  const said = (value: string) => factsOf([`fact privateIp ${value}`]).privateIp
  t.equal(said('10.0.0.7'), '10.0.0.7')
  t.equal(said('10.0.0.7"}'), '')
  t.end()
})
