import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
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

/** One request for a script, which keeps nothing or is an attempt of an operation, and what it said, line by line. */
function run(script: string, values: Record<string, string>, profile = 'k3s', attempt = 0) {
  const input = valuesText({ address: '127.0.0.1', cluster: 'c1', operation: 'o1', ...values })
  const id = attempt > 0 ? `o1.${attempt}.install` : 'direct'
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

await t.test('names what k3s needs and the host does not have, of servers more than of workers', (t) => {
  const asked = { ...{ ports: '', diskMegabytes: '1', memoryMegabytes: '1', files: '', checkNic: '0' }, ...worker }
  const look = (values: object = {}) =>
    run('preflight.sh', { ...asked, now: String(Math.floor(Date.now() / 1000)), ...values })
      .lines.filter((line) => /^(problem|progress) /.test(line))
      .map((line) => line.replace(/^problem /, ''))
  const master = { role: 'master' }
  const good = {
    'proc/cpuinfo': 'processor : 0\nprocessor : 1\n',
    'proc/meminfo': 'MemTotal:        1987000 kB\n',
    'sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory pids\n',
    'etc/os-release': 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="8.3"\n',
    'proc/sys/net/ipv4/ip_forward': '1\n',
    'proc/sys/fs/inotify/max_user_instances': '128\n',
    'proc/sys/fs/inotify/max_user_watches': '8192\n'
  }
  for (const [path, text] of Object.entries(good)) lay(path, text)
  for (const module of ['br_netfilter', 'overlay']) lay(`sys/module/${module}/initstate`, 'live')
  program('ss', 'exit 0')
  program('ufw', 'exit 1')
  program('modprobe', 'exit 1')
  program('firewall-cmd', 'exit 1')
  program('systemctl', 'exit 1')
  t.same(look(master), [])

  const bad: [path: string, text: string, said: RegExp, values?: object][] = [
    ['proc/cpuinfo', 'processor : 0\n', /has 1 processor, a server of k3s needs 2/, master],
    ['proc/meminfo', 'MemTotal:        1000000 kB\n', /976 MB of memory, a server of k3s needs 2 GB/, master],
    ['sys/fs/cgroup/cgroup.controllers', 'cpuset cpu io pids\n', /control group of memory is off/],
    ['proc/sys/net/ipv4/ip_forward', '0\n', /^progress net\.ipv4\.ip_forward is 0/],
    ['proc/sys/fs/inotify/max_user_instances', '64\n', /^progress fs\.inotify\.max_user_instances is 64/]
  ]
  for (const [path, text, said, values] of bad) {
    lay(path, text)
    t.match(look(values), [said], path)
    if (values) t.same(look(), [], `${path}: enough for a worker`)
    lay(path, good[path as keyof typeof good])
  }

  program('systemctl', '[ "$1" = is-enabled ]')
  t.match(look(), [/^nm-cloud-setup is enabled/])
  lay('etc/os-release', 'ID=rhel\nVERSION_ID="9.4"\n')
  t.same(look(), [])

  spawnSync('rm', ['-r', join(disk, 'sys/module/br_netfilter'), join(disk, 'sys/module/overlay')])
  const missing = look()
  // The kernel under the test may have them.
  for (const line of missing) t.match(line, /^the kernel has no module (br_netfilter|overlay) \(RHEL 10/)
  program('modprobe', '[ "$3" = br_netfilter ] || [ "$3" = overlay ]')
  t.same(look(), [])
  t.end()
})

await t.test('an active firewall must let in what k3s needs, and its ports must be free', (t) => {
  const values = { ports: '6443', diskMegabytes: '1', memoryMegabytes: '1', files: '', checkNic: '0' }
  const look = (role: string) =>
    run('preflight.sh', { ...worker, ...values, role, now: String(Math.floor(Date.now() / 1000)) })
      .lines.filter((line) => line.startsWith('problem '))
      .map((line) => line.slice(8))
  const tcp = 'LISTEN 0 4096 0.0.0.0:2380 0.0.0.0:*'
  const udp = 'UNCONN 0 0 *:8472 *:*'
  program('ss', `case "$2" in --tcp) echo '${tcp}' ;; --udp) echo '${udp}' ;; esac`)
  t.same(look('master'), ['port 2380 is in use', 'port 8472 (UDP) is in use'])
  t.same(look('shared'), ['port 8472 (UDP) is in use'], 'etcd is on servers only')
  lay('var/lib/fleetgate/cluster', 'c1\n')
  t.same(look('master'), [], 'its own ports')

  program('ufw', 'printf "%s\\n" "Status: active" "Default: deny (incoming)"; cat "$FLEETGATE_ROOT/rules"')
  lay('rules', '22/tcp ALLOW IN Anywhere\n')
  t.same(look('shared'), ['ufw is active and does not let in: 10.42.0.0/16 10.43.0.0/16'])
  t.same(look('master'), ['ufw is active and does not let in: 10.42.0.0/16 10.43.0.0/16 6443/tcp'])
  lay('rules', '6443/tcp ALLOW IN Anywhere\nAnywhere ALLOW IN 10.42.0.0/16\nAnywhere ALLOW IN 10.43.0.0/16\n')
  t.same(look('master'), [])

  program('systemctl', '[ "$1 $3" = "is-active firewalld" ]')
  program('firewall-cmd', 'case "$*" in *list-sources) echo 10.42.0.0/16 ;; *query*) exit 1 ;; *) echo public ;; esac')
  t.same(look('master'), ['firewalld is active and does not let in: 10.43.0.0/16 6443/tcp'])
  program('firewall-cmd', 'case "$*" in *list-sources) echo 10.42.0.0/16 10.43.0.0/16 ;; *) echo public ;; esac')
  t.same(look('master'), [])
  t.end()
})

await t.test('a GPU is used while a program computes on it, whatever their number', (t) => {
  const used = (profile: string) => {
    const said = run('figures.sh', worker, profile).lines.find((line) => line.startsWith('figure gpu '))
    return /^figure gpu (\d+)\/\d+$/.exec(said ?? '')?.[1]
  }
  for (const profile of profiles.names) {
    program('nvidia-smi', 'case "$*" in *compute-apps=gpu_uuid*) printf "%s\\n" GPU-1 GPU-2 GPU-1 ;; esac')
    t.equal(used(profile), '2', profile)
    program('nvidia-smi', 'exit 0')
    t.equal(used(profile), '0', 'nothing runs')
    program('nvidia-smi', 'echo "NVIDIA-SMI has failed because it cannot communicate"; exit 9')
    t.equal(used(profile), '0', 'its driver does not answer')
  }
  t.end()
})

await t.test('brings a replaced archive of images and another version, and only those', (t) => {
  const calls = () => readFileSync(join(disk, 'calls'), 'utf8').trim().split('\n').filter(Boolean)
  const note = 'echo "$0 $*" | sed "s#.*/##" >>"$FLEETGATE_ROOT/calls"'
  program('systemctl', `[ "$1" = is-active ] && exit; ${note}`)
  let attempt = 0
  const install = (values: Record<string, string>) => {
    lay('calls', '')
    attempt += 1
    const { code, lines } = run('install.sh', { ...worker, secret_agentToken: 'x', ...values }, 'k3s', attempt)
    t.equal(code, 0, lines.join('\n'))
    return calls()
  }
  const installer = `echo "install $INSTALL_K3S_EXEC [$INSTALL_K3S_VERSION]" >>"$FLEETGATE_ROOT/calls"
mkdir -p "$FLEETGATE_ROOT/etc/systemd/system" && touch "$FLEETGATE_ROOT/etc/systemd/system/k3s-agent.service"`
  for (const [sum, text] of Object.entries({
    k1: '#!/bin/sh\n',
    i1: installer,
    a1: 'first',
    a2: 'second',
    k2: 'exit 1'
  }))
    lay(`var/lib/fleetgate/files/${sum}`, text)
  const archive = () => readFileSync(join(disk, 'var/lib/rancher/k3s/agent/images/k3s-airgap-images.tar.zst'), 'utf8')
  const staged = { file_k3s: 'k1', file_install_sh: 'i1', file_images: 'a1' }

  t.same(install(staged), ['install agent []'], 'started once')
  t.equal(archive(), 'first')
  t.same(install(staged), [])
  t.same(install({ ...staged, file_images: 'a2' }), ['systemctl restart k3s-agent'])
  t.equal(archive(), 'second')
  attempt += 1
  const foreign = run('install.sh', { ...worker, ...staged, file_k3s: 'k2', leader: '10.0.0.8' }, 'k3s', attempt)
  t.match(foreign.lines.at(-1), /^problem the program k3s of the control plane does not run here/)
  t.same(install({ ...staged, file_images: 'a2', leader: '10.0.0.8' }), ['systemctl restart k3s-agent'], 'it is due')

  program('curl', `cat "$FLEETGATE_ROOT/var/lib/fleetgate/files/i1"`)
  const fetched = (version: string, leader = '10.0.0.8') => install({ version, leader })
  t.same(fetched('v1.33.4+k3s1'), ['install agent [v1.33.4+k3s1]'])
  t.same(fetched('v1.33.4+k3s1'), [])
  t.same(fetched('v1.34.1+k3s1'), ['install agent [v1.34.1+k3s1]'])
  t.same(fetched(''), [], 'no version wanted: the one there stays')
  t.same(fetched('', '10.0.0.9'), ['systemctl restart k3s-agent'], 'and no newer one comes along')
  t.end()
})
