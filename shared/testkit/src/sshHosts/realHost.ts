import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { sshKeyPair } from '../sshKeyPair.js'
import { until } from '../until.js'
import { command } from './commands.js'
import type { CpuBound } from './cpuBound.js'
import type { Network } from './network.js'
import { type HostPlan, listFiles, type SshHost } from './sshHost.js'

const port = 22
const parts = ['etc', 'home', 'root', 'var', 'opt', 'usr/local']
/** What sshd and a shell want of /etc; the rest of the machine's own stays out. */
const etcFiles = [
  'passwd',
  'group',
  'nsswitch.conf',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'profile',
  'ssl/openssl.cnf',
  'services'
]

/** Process 1 of a namespace: what it runs ends with it. sshd itself takes that place, for it buries every process that ends. */
const init = `
set -e
dir=$1
# The machine's own: hundreds of links, which take a file system longer to make than all else of a host.
[ ! -d /etc/alternatives ] || mount --bind /etc/alternatives "$dir/disk/etc/alternatives"
for part in ${parts.join(' ')}; do mount --rbind "$dir/disk/$part" "/$part"; done
[ "$2" = 0 ] || { mount -t tmpfs -o "size=$2m" tmpfs /var; mkdir -p /var/lib /var/tmp; }
hostname "$3"
for part in /run /tmp; do mount -t tmpfs tmpfs "$part"; done
mkdir -p /run/sshd
echo mounted
read -r _
exec /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config >/run/sshd.log 2>&1 </dev/null
`

const sshdConfig = `
HostKey /etc/ssh/host_key
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
AuthorizedKeysFile .ssh/authorized_keys
Subsystem sftp internal-sftp
`

/** Numbers of the processes that serve one log-in each, as OpenSSH names them: `sshd: root@notty`, of later versions `sshd-session`. */
const sessions = `grep -l -a -E '^sshd(-session)?: [a-z]+@' /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3`

export interface RealHostOptions extends HostPlan {
  network: Network
  cpu?: CpuBound | undefined
}

/** An OpenSSH server with network, processes, mounts and name of its own. */
export async function startRealHost(options: RealHostOptions): Promise<SshHost> {
  const { index, dir, network, cpu } = options
  const disk = join(dir, 'disk')
  const address = network.addressOf(index)
  const hostname = `host${index}`
  let running: { program: ChildProcess; pid: number } | undefined

  async function start(): Promise<void> {
    const flags = ['--mount', '--net', '--pid', '--uts', '--ipc', '--fork', '--kill-child', '--mount-proc']
    const args = [...flags, 'sh', '-c', init, 'init', dir, String(options.varMegabytes), hostname]
    // Ends with this process, however that ends.
    const program = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...args], {
      stdio: ['pipe', 'pipe', 'inherit']
    })
    await once(program)
    const pid = childOf(program.pid ?? 0)
    running = { program, pid }
    cpu?.join(pid)
    await network.join(index, pid)
    program.stdin?.write('go\n')
    await until(() => answers(address), { what: `sshd of ${address}` })
  }

  async function kill(): Promise<void> {
    const ending = running
    running = undefined
    if (!ending) return
    const ended = new Promise((resolve) => ending.program.once('close', resolve))
    ending.program.kill('SIGKILL')
    await ended
    await until(() => !existsSync(`/proc/${ending.pid}`), { what: `the end of ${address}` })
  }

  const run = (line: string) => command('nsenter', ['-t', String(running?.pid), '-a', 'sh', '-c', line])
  await layOut(options, disk)
  await start()
  return {
    address,
    port,
    hostname,
    disk,
    run,
    programs: async () => (await run('cat /proc/[0-9]*/comm 2>/dev/null || true')).split('\n').filter(Boolean),
    files: () => listFiles(disk),
    logins: async () => Number(await run(`${sessions} | wc -l`)),
    disconnect: async () => {
      await run(`${sessions} | xargs -r kill -KILL`)
    },
    kill,
    start,
    renewHostKey: () => writeHostKey(disk)
  }
}

async function layOut({ authorizedKey, password }: HostPlan, disk: string): Promise<void> {
  for (const part of [
    ...parts,
    'etc/ssh',
    'etc/alternatives',
    'root/.ssh',
    'home/operator/.ssh',
    'var/lib',
    'var/tmp'
  ]) {
    mkdirSync(join(disk, part), { recursive: true })
  }
  for (const file of etcFiles) {
    if (existsSync(`/etc/${file}`))
      cpSync(`/etc/${file}`, join(disk, 'etc', file), { recursive: true, verbatimSymlinks: true })
  }
  const passwd = readFileSync('/etc/passwd', 'utf8')
    .trimEnd()
    .split('\n')
    .filter((line) => !/^operator:/.test(line))
  writeFileSync(join(disk, 'etc/passwd'), `${[...passwd, 'operator:x:2000:2000::/home/operator:/bin/sh'].join('\n')}\n`)
  const hash = (await command('perl', ['-e', 'print crypt($ARGV[0], q($6$fleetgate$))', '--', password])).trim()
  writeFileSync(join(disk, 'etc/shadow'), `root:${hash}:19000:0:99999:7:::\noperator:${hash}:19000:0:99999:7:::\n`, {
    mode: 0o600
  })
  writeFileSync(join(disk, 'etc/ssh/sshd_config'), sshdConfig)
  for (const home of ['root', 'home/operator'])
    writeFileSync(join(disk, home, '.ssh/authorized_keys'), `${authorizedKey}\n`)
  await command('chown', ['-R', '2000:2000', join(disk, 'home/operator')])
  writeHostKey(disk)
}

function writeHostKey(disk: string): void {
  writeFileSync(join(disk, 'etc/ssh/host_key'), sshKeyPair().private, { mode: 0o600 })
}

/** The one process that `unshare` forked: the host's process 1. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0])
}

function once(program: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    program.stdout?.once('data', () => resolve())
    program.once('error', reject)
    program.once('exit', (code) => reject(new Error(`a test host ended with ${code} before it was up`)))
  })
}

/** Whether an SSH server greets there. */
export function answers(address: string, at = port): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: at, timeout: 1000 })
    const end = (is: boolean) => {
      socket.destroy()
      resolve(is)
    }
    socket.once('data', () => end(true))
    socket.once('error', () => end(false))
    socket.once('timeout', () => end(false))
  })
}
