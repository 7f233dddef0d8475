import { execFileSync, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { natsBinary } from '@fleetgate/local'
import type { SshHost, SshHosts } from '@fleetgate/testkit'

const folder = '/var/lib/plain'
/** The least of what an installer does on a host: the program comes packed, is unpacked, and runs. */
const script = [
  `mkdir -p ${folder} && zstd -dc >${folder}/nats-server && chmod 755 ${folder}/nats-server`,
  `{ setsid ${folder}/nats-server -a 127.0.0.1 -p 14222 -l ${folder}/log -P ${folder}/pid </dev/null >/dev/null 2>&1 & }`,
  `until grep -q "Server is ready" ${folder}/log 2>/dev/null; do sleep 0.02; done`
].join(' && ')
const cleanup = `kill "$(cat ${folder}/pid)"; rm -rf ${folder}`

/**
 * What the machine needs for the least that an installer over SSH can do, by OpenSSH's own client: milliseconds for the
 * first of the hosts, and for all of them at once. The programs ssh and zstd must be there.
 */
export async function measurePlainSsh(
  { privateKey }: SshHosts,
  hosts: SshHost[]
): Promise<{ one: number; many: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'fleetgate-ssh-'))
  const [key, packed] = [join(dir, 'key'), join(dir, 'packed')]
  try {
    writeFileSync(key, privateKey, { mode: 0o600 })
    execFileSync('zstd', ['-q', natsBinary(), '-o', packed])
    const install = async (some: SshHost[]) => {
      const begun = performance.now()
      await Promise.all(some.map((host) => byPlainSsh(host, key, packed)))
      const ms = performance.now() - begun
      await Promise.all(some.map((host) => host.run(cleanup)))
      return ms
    }
    return { one: await install(hosts.slice(0, 1)), many: await install(hosts) }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

function byPlainSsh({ address, port }: SshHost, key: string, packed: string): Promise<void> {
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
  const args = [...options.flatMap((option) => ['-o', option]), '-i', key, '-p', String(port), `root@${address}`]
  const input = openSync(packed, 'r')
  return new Promise<void>((resolve, reject) => {
    const ssh = spawn('ssh', [...args, `exec sh -c '${script}'`], { stdio: [input, 'inherit', 'inherit'] })
    ssh.once('error', reject)
    ssh.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`ssh to ${address} ended with ${code}`))))
  }).finally(() => closeSync(input))
}
