import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { basename, join } from 'node:path'
import ssh2, { type AuthContext, type Connection, type Session } from 'ssh2'
import { sshKeyPair } from '../sshKeyPair.js'
import { command } from './commands.js'
import { type HostPlan, listFiles, type SshHost } from './sshHost.js'

/** A sudo as root's: it only drops its options. The operator's refuses, and its id says who asks. */
const tools = {
  root: { sudo: 'while case $1 in -*) true ;; *) false ;; esac; do shift; done; exec "$@"', id: 'echo 0' },
  operator: { sudo: 'echo "sudo: a password is required" >&2; exit 1', id: 'echo 2000' }
}

/** What a computer of its own would say of itself. */
function ownTools(index: number, megabytes: number): Record<string, string> {
  const hostname = `echo host${index}`
  return megabytes === 0 ? { hostname } : { hostname, df: `echo; echo "disk ${megabytes} 0 ${megabytes} 0% /"` }
}

/**
 * Where namespaces or OpenSSH are not to be had: an SSH server in this process at an address 127.0.0.x of its own,
 * whose commands run here with `FLEETGATE_ROOT`, a private folder, before every path they touch.
 */
export async function startPrivateFolderHost({
  index,
  dir,
  authorizedKey,
  password,
  port,
  varMegabytes
}: HostPlan): Promise<SshHost> {
  const disk = join(dir, 'disk')
  const address = `127.0.1.${10 + index}`
  let hostKey = newHostKey()
  let server: ssh2.Server | undefined
  const open = new Set<Connection>()
  for (const part of ['root', 'home/operator', 'var/lib', 'etc', 'tmp'])
    mkdirSync(join(disk, part), { recursive: true })
  for (const [user, files] of Object.entries(tools)) {
    mkdirSync(join(dir, 'tools', user), { recursive: true })
    for (const [name, text] of Object.entries({ ...files, ...ownTools(index, varMegabytes) })) {
      writeFileSync(join(dir, 'tools', user, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
    }
  }

  const environment = (user: keyof typeof tools) => ({
    PATH: [join(disk, 'usr/local/bin'), join(dir, 'tools', user), process.env.PATH].join(':'),
    HOME: join(disk, user === 'root' ? 'root' : 'home/operator'),
    TMPDIR: join(disk, 'tmp'),
    FLEETGATE_ROOT: disk
  })

  const isAllowed = (asked: AuthContext) => {
    if (!(asked.username in tools)) return false
    if (asked.method === 'password') return asked.password === password
    if (asked.method !== 'publickey') return false
    const { data } = asked.key
    const keys = [authorizedKey, ...read(join(disk, 'root/.ssh/authorized_keys')).split('\n')].flatMap(parsed)
    const allowed = keys.find((key) => data.equals(key.getPublicSSH()))
    if (!allowed) return false
    return !asked.signature || allowed.verify(asked.blob ?? Buffer.alloc(0), asked.signature, asked.hashAlgo) === true
  }

  async function start(): Promise<void> {
    const started = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
      open.add(client)
      let user: keyof typeof tools = 'root'
      client.on('error', () => {})
      client.on('close', () => open.delete(client))
      client.on('authentication', (asked) => {
        if (!isAllowed(asked)) return asked.reject(['publickey', 'password'])
        user = asked.username as keyof typeof tools
        asked.accept()
      })
      client.on('tcpip', (accept, reject, { destIP, destPort }) => {
        const onward = connect({ host: destIP, port: destPort })
        onward.once('error', () => reject())
        onward.once('connect', () => {
          const channel = accept()
          channel.on('error', () => onward.destroy())
          channel.pipe(onward).pipe(channel)
        })
      })
      client.on('session', (accept) => serve(accept(), () => environment(user)))
    })
    await new Promise<void>((resolve, reject) => {
      started.once('error', reject)
      started.listen(port, address, resolve)
    })
    server = started
  }

  async function kill(): Promise<void> {
    const ending = server
    server = undefined
    if (!ending) return
    ending.close()
    for (const client of open) client.end()
    for (const pid of processesOf(disk)) end(pid)
  }

  await start()
  return {
    address,
    port,
    hostname: `host${index}`,
    disk,
    run: (line) => command('sh', ['-c', line], '', { ...process.env, ...environment('root') }),
    programs: async () => processesOf(disk).map(nameOf),
    files: () => listFiles(disk),
    logins: async () => open.size,
    disconnect: async () => {
      for (const client of open) client.end()
    },
    kill,
    start,
    renewHostKey: () => {
      hostKey = newHostKey()
    }
  }
}

function serve(session: Session, environment: () => NodeJS.ProcessEnv): void {
  session.on('exec', (accept, _reject, { command: line }) => {
    const channel = accept()
    const env = environment()
    const child = spawn('sh', ['-c', line], { env, cwd: env.HOME, stdio: ['pipe', 'pipe', 'pipe'] })
    channel.pipe(child.stdin)
    child.stdin.on('error', () => {})
    child.stdout.pipe(channel, { end: false })
    child.stderr.pipe(channel.stderr, { end: false })
    child.on('close', (code) => {
      channel.exit(code ?? 1)
      channel.end()
    })
    channel.on('error', () => {})
  })
}

/** Whatever was started with this folder before its paths. */
function processesOf(disk: string): number[] {
  const mark = `FLEETGATE_ROOT=${disk}\0`
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => read(`/proc/${name}/environ`).includes(mark))
    .map(Number)
}

function nameOf(pid: number): string {
  return basename(read(`/proc/${pid}/comm`).trim())
}

/** Processes end while one looks at them. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone already.
  }
}

function newHostKey(): string {
  return sshKeyPair().private
}

/** Nothing for a line that is no key. */
function parsed(line: string): ssh2.ParsedKey[] {
  const found = line.startsWith('#') ? [] : ssh2.utils.parseKey(line)
  return found instanceof Error ? [] : [found].flat()
}
