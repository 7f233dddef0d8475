import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SshHost, startParts, startSshHosts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { clusterEnv, draft, ended, made } from './clusterSupport.js'
import { serveKeys, startClusterManagerFor } from './support.js'

/**
 * No systemd runs on the test hosts: this stand-in of systemctl writes down how it was called, and starts and ends what the unit
 * says. What is shown is what our scripts ask of it; that the unit is a good one says systemd's own check.
 */
const systemctl = `#!/bin/sh
echo "$*" >>"$FLEETGATE_ROOT/var/lib/calls"
unit=$FLEETGATE_ROOT/etc/systemd/system/fleetgate-nats.service
pid=$(cat "$FLEETGATE_ROOT/var/lib/main-pid" 2>/dev/null)
end() {
  [ -z "$pid" ] || kill "$pid" 2>/dev/null
  while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  rm -f "$FLEETGATE_ROOT/var/lib/main-pid"
}
case $1 in
  daemon-reload | enable) ;;
  disable) end ;;
  restart)
    end
    $(sed -n 's/^ExecStart=//p' "$unit") >>"$FLEETGATE_ROOT/var/lib/journal" 2>&1 </dev/null &
    echo $! >"$FLEETGATE_ROOT/var/lib/main-pid" ;;
  *) exit 1 ;;
esac
`
const unitFile = '/etc/systemd/system/fleetgate-nats.service'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const hosts = await startSshHosts(t, { count: 2 })
const [first, second] = hosts.hosts as [SshHost, SshHost]
const two = [first, second]
for (const host of two) {
  await host.run('mkdir -p "$FLEETGATE_ROOT/run/systemd/system" "$FLEETGATE_ROOT/etc/systemd/system"')
  mkdirSync(join(host.disk, 'usr/local/bin'), { recursive: true })
  writeFileSync(join(host.disk, 'usr/local/bin/systemctl'), systemctl, { mode: 0o755 })
}
const before = two.map((host) => host.files())
const service = await startClusterManagerFor(t, parts, { ...clusterEnv, WATCH_MS: '600000' })
const api = service.as(guardKeys.token({ userId: 'ann', codes: ['cluster.view', 'cluster.edit'] }))
const onHost = (host: SshHost, line: string) => host.run(line.replaceAll(' /', ' "$FLEETGATE_ROOT"/'))
const calls = async (host: SshHost) => (await onHost(host, 'cat /var/lib/calls')).trim().split('\n')
let id = ''

await t.test('under systemd the server is a unit: written, enabled, started', async (t) => {
  const result = await made(api, draft(hosts, 'units', [1, 1], two))
  id = result.id
  t.match(result.operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(result.operation))
  for (const host of two) {
    t.same(await calls(host), ['daemon-reload', 'enable fleetgate-nats', 'restart fleetgate-nats'])
    const unit = await onHost(host, `cat ${unitFile}`)
    t.match(
      unit,
      /^ExecStart=\S*\/var\/lib\/fleetgate\/nats\/nats-server -c \S*\/etc\/fleetgate\/nats\.conf -P \S+\/pid$/m
    )
    t.match(unit, /^Restart=on-failure$/m, 'what crashes comes back, what was drained stays away')
    t.match(unit, /^After=network-online\.target$/m)
    t.match(unit, /^WantedBy=multi-user\.target$/m, 'it starts with the host')
    t.equal((await host.programs()).filter((name) => name === 'nats-server').length, 1)
  }
})

await t.test('the unit passes the check of systemd where that is installed', async (t) => {
  const unit = await onHost(first, `cat ${unitFile}`)
  const program = /^ExecStart=(\S+)/m.exec(unit)?.[1] ?? ''
  t.ok(program.endsWith('/nats-server'))
  if (!['/usr/bin/systemd-analyze', '/bin/systemd-analyze'].some(existsSync)) return
  const file = join(parts.dir, 'fleetgate-nats.service')
  // The program stands on the host only: any other stands for it here.
  writeFileSync(file, unit.replace(program, '/bin/true'))
  t.equal(execFileSync('systemd-analyze', ['verify', '--man=no', file], { stdio: 'pipe' }).toString(), '')
  writeFileSync(file, unit.replace('[Service]', '[Service]\nExecStart=relative'))
  t.throws(() => execFileSync('systemd-analyze', ['verify', '--man=no', file], { stdio: 'pipe' }), 'the check can fail')
})

await t.test('applied again it starts nothing; a changed unit is written and the server restarted', async (t) => {
  const once = await calls(first)
  t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.same(await calls(first), once)
  await onHost(first, `sed -i s/65536/1024/ ${unitFile}`)
  t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.match(await onHost(first, `cat ${unitFile}`), 'LimitNOFILE=65536')
  t.same((await calls(first)).slice(once.length), [
    'disable --now fleetgate-nats',
    'daemon-reload',
    'enable fleetgate-nats',
    'restart fleetgate-nats'
  ])
  t.same(await calls(second), once, 'the other host was as it should be')
})

await t.test('removal disables the unit and takes it away', async (t) => {
  const known = (await calls(second)).length
  t.equal((await api.delete(`/v1/cluster/${id}`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.same((await calls(second)).slice(known), ['disable --now fleetgate-nats', 'daemon-reload'])
  for (const [index, host] of two.entries()) {
    t.notOk((await host.programs()).includes('nats-server'))
    await until(
      () => host.files().every((file) => before[index]?.includes(file) || /\/var\/lib\/(calls|journal)$/.test(file)),
      { what: 'nothing to be left but what the stand-in wrote' }
    )
  }
})
