import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stackServices, workspaceRoot } from '@fleetgate/local'
import { startStackFor, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { metricsOf } from '../src/expressions.js'
import { findPrometheus, startPrometheus } from '../src/prometheus.js'

interface Rules {
  groups: { name: string; rules: { alert: string; expr: string; for: string; annotations: Record<string, string> }[] }[]
}
interface RuleTests {
  tests: { alert_rule_test: { alertname: string; exp_alerts: object[] }[] }[]
}
interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[]
}
interface Scrapes {
  scrape_configs: { static_configs: { targets: string[] }[] }[]
}

const folder = join(workspaceRoot, 'deploy/observability')
const read = (name: string) => readFileSync(join(folder, name), 'utf8')
const rules = parse(read('rules.yml')) as Rules
const dashboard = JSON.parse(read('dashboards/fleetgate.json')) as Dashboard
const alerts = rules.groups.flatMap((group) => group.rules)
const programs = findPrometheus()
if (typeof programs === 'string') t.pass(`not checked with Prometheus itself: ${programs}`)

t.test('the metrics of an expression are found', async (t) => {
  t.same(metricsOf('sum by (a, le) (rate(x_total{b="c"}[5m])) / max(y) > 700e6 and z == 0'), ['x_total', 'y', 'z'])
})

t.test('each process has its part in the alert for services that are gone', async (t) => {
  const { expr = '' } = alerts.find(({ alert }) => alert === 'FleetgateServiceGone') ?? {}
  t.same([...expr.matchAll(/service="([^"]+)"/g)].map(([, name]) => name).toSorted(), stackServices.toSorted())
})

t.test('each alert has a reason, and a runbook that is there', async (t) => {
  const page = readFileSync(join(workspaceRoot, 'k8s/README.md'), 'utf8')
  const anchors = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(' ', '-'))
  for (const { alert, annotations } of alerts) {
    t.ok(annotations.summary && annotations.reason, alert)
    const [file, anchor = ''] = (annotations.runbook ?? '').split('#')
    t.ok(file === 'k8s/README.md' && anchors.includes(anchor), `${alert}: ${annotations.runbook}`)
  }
})

t.test('each alert has cases in which it fires and in which it is silent', async (t) => {
  const cases = (parse(read('rules.test.yml')) as RuleTests).tests.flatMap(({ alert_rule_test }) => alert_rule_test)
  const named = (isFiring: boolean) =>
    [
      ...new Set(cases.filter(({ exp_alerts }) => exp_alerts.length > 0 === isFiring).map(({ alertname }) => alertname))
    ].sort()
  const all = alerts.map(({ alert }) => alert).sort()
  t.same(named(true), all)
  t.same(named(false), all)
})

if (typeof programs !== 'string') {
  t.test('promtool accepts configuration and rules, and its tests of them pass', async (t) => {
    const tool = (...args: string[]) => execFileSync(programs.promtool, args, { cwd: folder, encoding: 'utf8' })
    t.match(tool('check', 'rules', 'rules.yml'), /SUCCESS: \d+ rules found/)
    t.match(tool('check', 'config', 'prometheus.yml'), /SUCCESS/)
    t.match(tool('test', 'rules', 'rules.test.yml'), /SUCCESS/)
  })
}

t.test('a running stack', async (t) => {
  const stack = await startStackFor(t)
  await stack.api.register()
  const session = stack.api.as(await stack.api.login())
  t.equal((await session.get('/v1/jobs?pageNo=1&pageSize=1')).status, 200)
  const urls: Record<string, string> = { ...stack.urls, gateway: stack.url }

  await t.test('exports every metric that the dashboard and the alerts name', async (t) => {
    const texts = await Promise.all(Object.values(urls).map(async (url) => (await fetch(`${url}/metrics`)).text()))
    const names = new Set([...texts.join('\n').matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name))
    const shown = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
    for (const name of [...shown, ...alerts.map(({ expr }) => expr)].flatMap(metricsOf)) {
      t.ok(name === 'up' || names.has(name) || names.has(name.replace(/_(bucket|count|sum)$/, '')), name)
    }
    t.match(texts.join('\n'), /stream_consumer_waiting\{stream="UPLINK",consumer="[^"]+",service="broker-proxy"\} \d/)
  })

  if (typeof programs === 'string') return

  await t.test(
    'is scraped by Prometheus, and a service that stands still raises the alert, which ends with it',
    async (t) => {
      const dir = temporaryFolder(t)
      const prometheus = await startPrometheus(t, programs, writeShort(dir, Object.values(urls)))
      const up = async (value: string) => (await prometheus.query(`up == ${value}`)).length
      await until(async () => (await up('1')) === 6, { what: 'six targets to be up', deadlineMs: 60_000, everyMs: 200 })
      const services = await prometheus.query('count by (service) (build_info)')
      t.same(services.map(({ metric }) => metric.service).toSorted(), Object.keys(urls).toSorted())

      stack.kill('devices', 'SIGSTOP')
      t.teardown(() => stack.kill('devices', 'SIGCONT'))
      const alert = async () =>
        (await prometheus.alerts()).find(({ labels }) => labels.alertname === 'FleetgateProcessDown')
      const firing = await until(
        async () => {
          const found = await alert()
          return found?.state === 'firing' ? found : undefined
        },
        { what: 'the alert to fire', deadlineMs: 60_000, everyMs: 200 }
      )
      t.equal(`http://${firing.labels.instance}`, stack.urls.devices, 'it names the one that stands still')
      stack.kill('devices', 'SIGCONT')
      await until(async () => !(await alert()), { what: 'the alert to end', deadlineMs: 60_000, everyMs: 200 })
      t.pass('and ends when the service goes on')
    }
  )
})

/** The files of the deployment for the addresses of this test, with seconds in place of minutes. */
function writeShort(dir: string, urls: string[]): string {
  const config = parse(read('prometheus.yml')) as Scrapes & { global: object }
  config.global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' }
  const [scrape] = config.scrape_configs
  if (scrape) scrape.static_configs = [{ targets: urls.map((url) => new URL(url).host) }]
  mkdirSync(join(dir, 'data'))
  writeFileSync(join(dir, 'prometheus.yml'), stringify(config))
  const short = {
    groups: rules.groups.map((group) => ({ ...group, rules: group.rules.map((one) => ({ ...one, for: '2s' })) }))
  }
  writeFileSync(join(dir, 'rules.yml'), stringify(short))
  return dir
}
