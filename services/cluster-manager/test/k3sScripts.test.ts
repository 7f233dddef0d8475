import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@fleetgate/testkit'
import t from 'tap'
import { valuesText } from '../src/hosts/runText.js'
import { loadProfiles, type Profile } from '../src/profiles/profile.js'

/** The scripts of k3s one by one, in a folder that stands for the host's disk, with stand-ins of the programs that they call. */
const disk = temporaryFolder(t)
const profiles = loadProfiles(fileURLToPath(new URL('../../profiles', import.meta.url)), {})
const worker = { host: 'kube-worker-1', role: 'shared', category: 'ha', leader: '10.0.0.1', timeout: '1' }

/** Writes a file of the host. */
function lay(path: string, text: string): void {
  const file = join(disk, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function program(name: string, text: string): void {
  lay(`usr/local/bin/${name}`, `#!/bin/sh\n${text}\n`)
  spawnSync('chmod', ['755', join(disk, 'usr/local/bin', name)])
}

/** One request for a script as it is, and what it said, line by line. */
function run(script: string, values: Record<string, string>, profile = 'k3s'): { lines: string[]; code: number } {
  const input = valuesText({ address: '127.0.0.1', cluster: 'c1', operation: 'o1', ...values })
  const id = script === 'install.sh' ? 'o1.1.install' : 'direct'
  const request = `${input.split('\n').length - 1} ${id} o1 c1 1 0 ${script}\n${input}`
  lay('program', `mark='> '\n${(profiles.get(profile) as Profile).program}`)
  const { stdout } = spawnSync('sh', ['-c', 'sh "$HOME/program" "$HOME" 2>&1'], {
    input: request,
    env: { PATH: `${join(disk, 'usr/local/bin')}:${process.env.PATH}`, HOME: disk, FLEETGATE_ROOT: disk },
    encoding: 'utf8'
  })
  const lines = stdout.split('\n').filter((line) => line !== '' && !line.startsWith('> '))
  const codes = [...stdout.matchAll(/^> (\d+)$/gm)]
  return { lines, code: Number(codes.at(-1)?.[1]) }
}

const kubelet = 'var/lib/rancher/k3s/agent/kubelet.kubeconfig'

await t.test('a worker is good only when the API server has its node as Ready', (t) => {
  program('systemctl', '[ "$1" != is-active ] || [ -e "$FLEETGATE_ROOT/active" ]')
  program('k3s', 'case "$*" in *--kubeconfig=*) cat "$FLEETGATE_ROOT/ready" ;; *crictl*) echo one ;; esac')
  program('journalctl', 'echo "level=info msg=fine"; echo "level=error msg=\\"token CA hash does not match\\""')
  const verified = () => run('verify.sh', worker)
  const slave = () => run('status.sh', worker).lines.find((line) => line.includes('mesosslave'))

  t.match(verified(), { code: 1, lines: [/^problem k3s-agent does not run/] })
  lay('active', '')
  t.match(verified(), { code: 1, lines: [/^problem the host has not joined: .*10\.0\.0\.1:6443: .*CA hash does not/] })
  t.equal(slave(), 'component mesosslave UnHealthy', 'its service is there, its node is not')
  lay(kubelet, 'log-in of the kubelet')
  for (const [said, is] of [
    ['Unknown', 1],
    ['False', 1],
    ['True', 0]
  ] as const) {
    lay('ready', said)
    t.equal(verified().code, is, said)
    t.equal(slave(), `component mesosslave ${is === 0 ? 'Healthy' : 'UnHealthy'}`, said)
  }
  lay('ready', 'False')
  t.match(verified().lines, [/^problem the API server does not have the node kube-worker-1 as Ready/])
  t.end()
})
