import { execFile, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@fleetgate/testkit'
import t from 'tap'
import { valuesText } from '../src/hosts/runText.js'
import { loadProfiles, type Profile } from '../src/profiles/profile.js'
import { kubectlObjects } from './k3sStandIns.js'

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
  const look = (role: string, more: object = {}) =>
    run('preflight.sh', { ...worker, ...values, ...more, role, now: String(Math.floor(Date.now() / 1000)) })
      .lines.filter((line) => line.startsWith('problem '))
      .map((line) => line.slice(8))
  const tcp = 'LISTEN 0 4096 0.0.0.0:2380 0.0.0.0:*'
  const udp = 'UNCONN 0 0 *:8472 *:*'
  program('ss', `case "$2" in --tcp) echo '${tcp}' ;; --udp) echo '${udp}' ;; esac`)
  t.same(look('master'), ['port 2380 is in use', 'port 8472 (UDP) is in use'])
  t.same(look('shared'), ['port 8472 (UDP) is in use'], 'etcd is on servers only')
  program('ss', `[ "$2" = --udp ] || echo '${tcp.replace('2380', '9100')}'`)
  t.same(look('shared'), [])
  t.same(look('shared', { monitoring: '1' }), ['port 9100 (node-exporter) is in use'])
  program('ss', `case "$2" in --tcp) echo '${tcp}' ;; --udp) echo '${udp}' ;; esac`)
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
    p1: 'of Prometheus',
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
  const watching = { ...staged, file_images: 'a2', monitoring: '1', file_monitoring_images: 'p1' }
  const other = join(disk, 'var/lib/rancher/k3s/agent/images/fleetgate-prometheus-images.tar.zst')
  t.same(install(watching), ['systemctl restart k3s-agent'])
  t.equal(readFileSync(other, 'utf8'), 'of Prometheus')
  t.equal(archive(), 'second', 'beside those of k3s')
  t.same(install(watching), [])
  t.same(install({ ...watching, monitoring: '0', file_monitoring_images: '' }), [], 'what goes needs no restart')
  t.notOk(existsSync(other))
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

await t.test('each part of the original is asked for by what does its work here', (t) => {
  program(
    'k3s',
    `shift; case "$*" in
      "get --raw /readyz "*) echo ok ;;
      *:10257*/healthz*) [ -e "$FLEETGATE_ROOT/noControllers" ] || echo ok ;;
      *:10259*/healthz*) [ -e "$FLEETGATE_ROOT/noScheduler" ] || echo ok ;;
      *readyz/etcd*) [ -e "$FLEETGATE_ROOT/noEtcd" ] || echo ok ;;
      *"kube-system get deployments"*) cat "$FLEETGATE_ROOT/deployments" ;;
      *"fleetgate-monitoring get deployments,statefulsets"*) cat "$FLEETGATE_ROOT/watching" ;;
      *helm.cattle.io*) [ -e "$FLEETGATE_ROOT/noHelm" ] || echo '{"resources":[{"name":"helmcharts"}]}' ;;
      *metrics.k8s.io*) [ -e "$FLEETGATE_ROOT/noMetrics" ] && echo '{"items":[]}' || echo '{"items":[{"usage":{}}]}' ;;
    esac`
  )
  const watching =
    ' fleetgate-prometheus-server=1 fleetgate-prometheus-alertmanager=1 fleetgate-prometheus-kube-state-metrics=1 '
  lay('deployments', ' coredns=1 metrics-server=1 traefik=2 ')
  lay('watching', watching)
  const ill = (values: object = { monitoring: '1' }) =>
    run('status.sh', { ...worker, role: 'master', ...values })
      .lines.flatMap((line) => /^component (\w+) UnHealthy$/.exec(line)?.[1] ?? [])
      .filter((name) => name !== 'genresolvconf')
  t.same(ill(), [])
  for (const [file, name] of Object.entries({
    noControllers: 'marathon',
    noScheduler: 'marathon',
    noEtcd: 'exhibitor',
    noHelm: 'cosmos',
    noMetrics: 'metricscollector'
  })) {
    lay(file, '')
    t.same(ill(), [name], file)
    rmSync(join(disk, file))
  }
  lay('deployments', ' coredns= metrics-server=1 traefik=1 ')
  t.same(ill(), ['dnsserver'], 'one that is not ready')
  lay('deployments', ' coredns=1 other-traefik=1 ')
  t.same(ill(), ['adminrouter'], 'one that is not there')
  lay('deployments', ' coredns=1 traefik=1 ')
  lay('watching', ' fleetgate-prometheus-server=1 fleetgate-prometheus-alertmanager= ')
  t.same(ill(), ['alertmanager'])
  lay('watching', watching.replace('server=1', 'server='))
  t.same(ill(), ['prometheus'])
  t.same(ill({}), [], 'nobody asked for them')
  for (const [code, word] of ['Healthy', 'UnHealthy'].entries()) {
    program('bash', `case "$*" in *" 10.43.0.10 53 kube-dns."*) exit ${code} ;; esac; exec /bin/bash "$@"`)
    for (const role of ['master', 'shared', 'pureslave'])
      t.ok(run('status.sh', { ...worker, role }).lines.includes(`component genresolvconf ${word}`), `${role}: ${word}`)
  }
  rmSync(join(disk, 'usr/local/bin/bash'))
  program('k3s', 'echo "$*" >>"$FLEETGATE_ROOT/asked"')
  lay('asked', '')
  const all = ['mesosmaster', 'marathon', 'exhibitor', 'dnsserver', 'adminrouter', 'cosmos', 'metricscollector']
  t.same(ill({}), all)
  t.notMatch(
    readFileSync(join(disk, 'asked'), 'utf8'),
    /helm|metrics|deployments/,
    'an API that is away is not asked on'
  )
  t.end()
})

await t.test('a name resolves where the server has an address for it', async (t) => {
  const questions: Buffer[] = []
  const answers: [error: number, answers: number][] = [
    [0, 1],
    [3, 0],
    [0, 0],
    [2, 1]
  ]
  const server = createSocket('udp4')
  t.teardown(() => server.close())
  server.on('message', (question, { port, address }) => {
    const [error, count] = answers[questions.length] ?? [0, 0]
    questions.push(question)
    const answer = Buffer.from(question)
    answer.writeUInt16BE(0x8180 + error, 2)
    answer.writeUInt16BE(count, 6)
    server.send(answer, port, address)
  })
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve))
  const dns = readFileSync(fileURLToPath(new URL('../../profiles/k3s/dns.sh', import.meta.url)), 'utf8')
  const resolves = (port: number) =>
    new Promise<boolean>((resolve) =>
      execFile('sh', ['-c', `${dns}\nresolves 127.0.0.1 ${port} kube-dns.kube-system.svc.cluster.local`], (error) =>
        resolve(!error)
      )
    )
  const { port } = server.address()
  t.equal(await resolves(port), true)
  for (const what of ['unknown', 'without an address', 'a server in trouble'])
    t.equal(await resolves(port), false, what)
  const labels = ['kube-dns', 'kube-system', 'svc', 'cluster', 'local'].map(
    (one) => String.fromCharCode(one.length) + one
  )
  const wanted = `\x01\0\0\x01\0\0\0\0\0\0${labels.join('')}\0\0\x01\0\x01`
  t.equal(questions[0]?.subarray(2).toString('latin1'), wanted, 'one question for an address, in one packet')
  t.equal(questions.length, answers.length)
  const silent = createSocket('udp4')
  t.teardown(() => silent.close())
  await new Promise<void>((resolve) => silent.bind(0, '127.0.0.1', resolve))
  t.equal(await resolves(silent.address().port), false, 'nobody answers')
})

await t.test('add-ons: waits for the kinds of Helm, touches nothing that is not ours, tells what is refused', (t) => {
  const standIn = (more = '') => program('k3s', `${more}\n${kubectlObjects}`)
  const object = (name: string) => join(disk, 'var/lib/objects', name)
  const read = (name: string) => readFileSync(object(name), 'utf8')
  standIn()
  let attempt = 0
  const addons = (values: object) => {
    attempt += 1
    return run(
      'addons.sh',
      { ...worker, role: 'master', ingressHosts: '1', timeout: '20', ...values },
      'k3s',
      100 + attempt
    )
  }
  lay('var/lib/objects/.late', '')
  t.same(addons({}), { code: 0, lines: ['helmchartconfig/traefik created'] })
  t.match(read('helmchartconfig.traefik'), 'linker.io/lb: enable')
  t.same(addons({}).lines, ['helmchartconfig/traefik unchanged'])
  t.same(addons({ ingressHosts: '0' }).lines, ['helmchartconfig "traefik" deleted'])
  t.same(addons({ ingressHosts: '0' }), { code: 0, lines: [] }, 'as k3s has it where no node is for traffic')

  const foreign = 'kind: HelmChartConfig\nmetadata:\n  name: traefik\n'
  lay('var/lib/objects/helmchartconfig.traefik', foreign)
  for (const ingressHosts of ['1', '0'])
    t.match(addons({ ingressHosts }), { code: 0, lines: [/^progress .*Traefik is not ours and stays/] })
  t.equal(read('helmchartconfig.traefik'), foreign)

  const watched = { monitor: 'kube-worker-1', monitoring: '1' }
  const parts = ['namespace/fleetgate-monitoring', 'helmchart/fleetgate-prometheus']
  t.same(
    addons(watched).lines.slice(1),
    parts.map((part) => `${part} created`)
  )
  const chart = read('helmchart.fleetgate-prometheus')
  t.match(chart, /^ {2}repo: https:\/\/prometheus-community\S+\n {2}chart: prometheus\n {2}version: [\d.]+$/m)
  t.match(chart, '    prometheus-pushgateway:\n      enabled: false\n')
  t.same(
    addons(watched).lines.slice(1),
    parts.map((part) => `${part} unchanged`)
  )

  standIn('case "$*" in *"delete helmchart "*) echo "timed out waiting for the condition" >&2; exit 1 ;; esac')
  t.match(addons({ monitor: '' }), { code: 1, lines: [/./, /^problem kubectl delete: timed out waiting/] })
  t.match(read('namespace.fleetgate-monitoring'), 'kube-worker-1', 'it tells of the node until all is gone')
  standIn()
  rmSync(object('helmchart.fleetgate-prometheus'))
  t.equal(addons({ monitor: '' }).lines.at(-1), 'namespace "fleetgate-monitoring" deleted')
  t.notOk(existsSync(object('namespace.fleetgate-monitoring')), 'what broke off in between is finished')
  program('k3s', 'exit 1')
  t.match(addons({ timeout: '1' }), { code: 1, lines: [/^problem k3s does not serve the kinds/] })
  t.end()
})

await t.test('servers and workers join at the address of the API, which stays; the first one joins nobody', (t) => {
  const [installer, token] = ['var/lib/fleetgate/files/i2', 'var/lib/rancher/k3s/server/token']
  lay(installer, 'exit 0')
  lay(token, `K10${'a'.repeat(64)}::server:x`)
  program('systemctl', 'exit 0')
  const masters = { masters: '10.0.0.1 10.0.0.2 10.0.0.3', publicAddress: '10.0.0.2', apiAddress: 'kube.example.com' }
  const configOf = (values: object, attempt: number) => {
    const all = { ...worker, ...masters, file_k3s: 'k1', file_install_sh: 'i2', ...values }
    const { code, lines } = run('install.sh', all, 'k3s', 200 + attempt)
    t.equal(code, 0, lines.join('\n'))
    return readFileSync(join(disk, 'etc/rancher/k3s/config.yaml'), 'utf8')
  }
  const server = "server: 'https://kube.example.com:6443'\n"
  const first = configOf({ role: 'master', isLeader: '1' }, 1)
  t.match(first, "  - '10.0.0.2'\n  - 'kube.example.com'\n")
  t.notMatch(first, /^server:/m)
  t.match(configOf({ role: 'master', isLeader: '0' }, 2), server)
  t.match(configOf({}, 3), server)
  t.match(configOf({ apiAddress: '' }, 4), "server: 'https://10.0.0.1:6443'\n")
  t.end()
})
