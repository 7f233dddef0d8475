import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@fleetgate/local'
import { temporaryFolder } from '../parts.js'
import { sshKeyPair } from '../sshKeyPair.js'
import type { Teardown } from '../teardown.js'
import { command, succeeds } from './commands.js'
import { createCpuBound } from './cpuBound.js'
import { startNetwork } from './network.js'
import type { startPrivateFolderHost } from './privateFolderHost.js'
import { startRealHost } from './realHost.js'
import type { SshHost, SshHosts, SshHostsOptions } from './sshHost.js'

/**
 * Computers to install things on, removed with the test. Real OpenSSH servers, each with network, processes, mounts and
 * name of its own, where this is root and namespaces are allowed; otherwise servers in this process with a private
 * folder each. `FLEETGATE_SSH_HOSTS=folders` asks for the latter.
 */
export async function startSshHosts(t: Teardown, { count, smallDisk, cpuGroup }: SshHostsOptions): Promise<SshHosts> {
  const dir = temporaryFolder(t)
  const keys = sshKeyPair()
  const password = randomBytes(9).toString('base64url')
  const isReal = await canBeReal()
  const network = isReal ? await startNetwork() : undefined
  // At every address the same, as with computers that are made from one image.
  const port = isReal ? 22 : await freePort()
  const hosts: SshHost[] = []
  const bounds = Array.from({ length: count }, (_, index) =>
    isReal && cpuGroup ? createCpuBound(cpuGroup, index) : undefined
  )
  t.teardown(async () => {
    await Promise.all(hosts.map((host) => host.kill()))
    await network?.close()
    for (const bound of bounds) bound?.close()
  })
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const varMegabytes = smallDisk?.host === index ? smallDisk.megabytes : 0
      const plan = { index, dir: join(dir, `host${index}`), authorizedKey: keys.public, password, port, varMegabytes }
      mkdirSync(plan.dir)
      hosts[index] = await (network ? startRealHost({ ...plan, network, cpu: bounds[index] }) : startFolderHost(plan))
    })
  )
  return {
    isReal,
    hosts,
    ownAddress: network?.ownAddress ?? '127.0.0.1',
    privateKey: keys.private,
    publicKey: keys.public,
    password,
    boundCpu(cores) {
      for (const bound of bounds) bound?.set(cores)
      return bounds.every((bound) => bound !== undefined)
    }
  }
}

/** Loaded where it is used: its SSH server takes a while. */
async function startFolderHost(plan: Parameters<typeof startPrivateFolderHost>[0]): Promise<SshHost> {
  const { startPrivateFolderHost: start } = await import('./privateFolderHost.js')
  return start(plan)
}

let known: Promise<boolean> | undefined

function canBeReal(): Promise<boolean> {
  known ??= look()
  return known
}

async function look(): Promise<boolean> {
  if (process.env.FLEETGATE_SSH_HOSTS === 'folders' || process.getuid?.() !== 0) return false
  const namespaces = await succeeds('setpriv', [
    '--pdeathsig',
    'KILL',
    'unshare',
    '--mount',
    '--net',
    '--pid',
    '--uts',
    '--fork',
    '--mount-proc',
    'mount',
    '-t',
    'tmpfs',
    'tmpfs',
    '/run'
  ])
  if (!namespaces || !(await succeeds('ip', ['link']))) return false
  return existsSync('/usr/sbin/sshd') || (await installOpenSsh())
}

/** The package would start a server of this machine; the run level keeps it from that. */
async function installOpenSsh(): Promise<boolean> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const install = () => command('apt-get', ['install', '-y', '--no-install-recommends', 'openssh-server'], '', env)
  const refresh = () => command('apt-get', ['update'], '', env).then(install)
  await install().catch(() => refresh().catch(() => ''))
  return existsSync('/usr/sbin/sshd')
}
