import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { workspaceRoot } from '@fleetgate/local'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { parse } from 'yaml'
import { confOfEmqx } from '../src/emqxOperator.js'
import { mayReach } from '../src/mayReach.js'
import { missingOfEmqx } from '../src/missingOfEmqx.js'
import { misspellings } from '../src/misspellings.js'
import { startNatsServers } from '../src/natsServers.js'
import {
  type Container,
  envOf,
  expand,
  findKustomize,
  type KubeObject,
  overlays,
  podOf,
  render
} from '../src/objects.js'
import { flawsOf, loadProcesses } from '../src/processes.js'
import { schemaFlaw } from '../src/schemas.js'
import { scraped } from '../src/scraped.js'

const kustomize = findKustomize()
if (!kustomize) t.pass('neither kubectl nor kustomize is on PATH: the overlays are not built here')

const processes = await loadProcesses()
const built = Object.fromEntries((kustomize ? overlays : []).map((name) => [name, render(kustomize ?? [], name)]))
const { single = [], production = [] } = built

for (const overlay of kustomize ? overlays : []) {
  const objects = built[overlay] ?? []
  const pods = objects.flatMap((object) => {
    const pod = podOf(object)
    return pod ? [{ object, pod, containers: [...pod.containers, ...(pod.initContainers ?? [])] }] : []
  })

  t.test(`${overlay}: every object fits the schema of its kind`, async (t) => {
    for (const object of objects) {
      t.equal(schemaFlaw(object), undefined, `${object.kind} ${object.metadata.name}`)
    }
  })

  t.test(`${overlay}: a misspelt field is found, wherever it stands`, async (t) => {
    const kinds = new Map(objects.map((object) => [object.kind, object]))
    for (const object of kinds.values()) {
      const all = misspellings(object)
      t.ok(all.length > 0, object.kind)
      const missed = all.filter((misspelt) => schemaFlaw(misspelt.object) === undefined)
      t.same(
        missed.map(({ path }) => path),
        [],
        object.kind
      )
    }
  })

  t.test(`${overlay}: each process gets the settings that its code asks for, and no others`, async (t) => {
    for (const process of processes) {
      const container = pods.flatMap(({ containers }) => containers).find(({ name }) => name === process.name)
      t.ok(container, `${process.name} is deployed`)
      t.same(flawsOf(process, envOf(container as Container, objects)), [])
    }
  })

  t.test(`${overlay}: containers are bounded, confined and watched`, async (t) => {
    for (const { object, pod, containers } of pods) {
      const of = `${object.kind} ${object.metadata.name}`
      t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, of)
      const [account] = objects.filter(
        ({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name === 'fleetgate'
      )
      const { automountServiceAccountToken: isMounted } = object.kind === 'EMQX' ? (account ?? {}) : pod
      // The agent that the operator puts beside MongoDB reads its orders from the cluster.
      if (object.kind !== 'MongoDBCommunity') t.equal(isMounted, false, `${of} has no token of the cluster`)
      for (const { resources, securityContext } of containers) {
        t.match(resources, { requests: { cpu: String, memory: String }, limits: { cpu: String, memory: String } }, of)
        const confined = {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] }
        }
        t.match(securityContext, confined, of)
      }
      // A job ends by itself; the operator's pods bring probes of their own.
      if (['Job', 'CronJob', 'MongoDBCommunity'].includes(object.kind)) continue
      for (const container of pod.containers) {
        t.ok(container.startupProbe && container.readinessProbe && container.livenessProbe, `${of} has its probes`)
      }
    }
  })

  t.test(`${overlay}: a pod is given the time that its process takes to end`, async (t) => {
    const processLimitS = 10
    for (const { pod } of pods) {
      const own = pod.containers.filter(({ name }) => processes.some((process) => process.name === name))
      for (const { name, lifecycle } of own) {
        const before = lifecycle?.preStop?.sleep?.seconds ?? 0
        t.ok(before > 0, `${name} is taken out of its service first`)
        t.ok((pod.terminationGracePeriodSeconds ?? 0) > before + processLimitS, name)
      }
    }
  })

  t.test(`${overlay}: nothing is reachable but what a policy names`, async (t) => {
    const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy')
    t.ok(
      policies.some(({ spec }) => JSON.stringify(spec) === '{"podSelector":{},"policyTypes":["Ingress","Egress"]}'),
      'everything is denied first'
    )
    const open = policies.filter(({ spec }) =>
      ((spec?.ingress ?? []) as { from?: unknown }[]).some(({ from }) => !from)
    )
    const names = open.map(({ metadata }) => metadata.name).sort()
    t.same(names, overlay === 'single' ? ['broker-proxy', 'gateway'] : ['broker-proxy', 'emqx', 'gateway'])
    const types = objects
      .filter(({ kind }) => kind === 'Service')
      .map(({ metadata, spec }) => [metadata.name, spec?.type])
    t.same(
      types.filter(([, type]) => type !== undefined),
      [['mqtt', 'LoadBalancer']]
    )
  })

  t.test(`${overlay}: who calls others may, and nobody else`, async (t) => {
    const may = (name: string, address: string, port: number) => mayReach(objects, name, address, port)
    for (const { name } of processes) {
      const calls = ['devices', 'broker-proxy', 'cluster-manager'].includes(name)
      t.equal(may(name, '93.184.215.14', 443), calls, `${name} at a public address`)
      t.equal(may(name, '10.1.2.3', 8080), false, `${name} at an address of the cluster`)
    }
    for (const name of ['devices', 'broker-proxy']) t.ok(may(name, '93.184.215.14', 8443), `${name} at any port`)
    for (const port of [22, 443, 5000, 8774, 9292, 9696]) {
      t.ok(may('cluster-manager', '10.1.2.3', port), `hosts and private clouds at ${port}`)
    }
  })

  t.test(`${overlay}: machines find MQTT over TLS where they are told to`, async (t) => {
    const named = (kind: string, name: string) =>
      objects.find((object) => object.kind === kind && object.metadata.name === name)
    const told = pods.flatMap(({ containers }) => containers).find(({ name }) => name === 'scheduler')
    const { port } = new URL(told?.env?.find(({ name }) => name === 'MACHINE_MQTT_URL')?.value ?? '')
    const service = named('Service', 'mqtt')?.spec as {
      selector: object
      ports: { port: number; targetPort: string }[]
    }
    const target = service.ports.find((one) => String(one.port) === port)?.targetPort
    const broker = overlay === 'single' ? 'broker-proxy' : 'emqx'
    t.same(service.selector, { 'app.kubernetes.io/name': broker })
    const container = pods.flatMap(({ pod }) => pod.containers).find(({ name }) => name === broker)
    t.match(
      container?.ports?.find(({ name }) => name === target),
      { containerPort: Number(port) }
    )
    t.ok(
      container?.volumeMounts?.some(({ mountPath }) => mountPath === '/tls'),
      'its certificate is mounted'
    )
    const policy = JSON.stringify(named('NetworkPolicy', broker)?.spec?.ingress)
    t.ok(policy.includes(`{"port":${port}}`), 'the policy lets them in')
  })

  t.test(`${overlay}: each service has a database user of its own, with its own database`, async (t) => {
    const mongodb = objects.find(({ kind }) => kind === 'MongoDBCommunity')
    const users = mongodb?.spec?.users as {
      roles: { name: string; db: string }[]
      connectionStringSecretName: string
    }[]
    for (const { name } of processes.filter(({ name }) => name !== 'gateway')) {
      const secret = `fleetgate-mongodb-${name}`
      const user = users.find(({ connectionStringSecretName }) => connectionStringSecretName === secret)
      t.same(user?.roles, [{ name: 'readWrite', db: `fleetgate_${name.replaceAll('-', '_')}` }])
      const container = pods.flatMap((one) => one.containers).find((one) => one.name === name)
      const uri = container?.env?.find((one) => one.name === 'MONGODB_URI')
      t.equal(uri?.valueFrom?.secretKeyRef?.name, secret)
    }
    const backup = users.find(
      ({ connectionStringSecretName }) => connectionStringSecretName === 'fleetgate-mongodb-backup'
    )
    t.same(
      backup?.roles.map(({ name }) => name),
      ['backup', 'restore', 'replayOplog']
    )
    const [{ ingress = [] } = {}] = objects
      .filter(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'mongodb')
      .map(({ spec }) => spec as { ingress?: { from: Peer[] }[] })
    const owners = processes.map(({ name }) => name).filter((name) => name !== 'gateway')
    const peers = ingress.flatMap(({ from }) => from).flatMap(({ podSelector }) => namesOf(podSelector))
    t.same(peers.toSorted(), [...owners, 'backup', 'mongodb-svc'].toSorted(), 'nobody else comes near it')
    const policies = (name: string) =>
      JSON.stringify(objects.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === name)?.spec)
    t.match(policies('mongodb'), '"backup"', 'and who makes backups is let in')
    t.match(policies('backup'), /"port":4222.*"port":27017/, 'and out')
  })

  t.test(
    `${overlay}: pods are made anew where their configuration changes, whose name tells what it holds`,
    async (t) => {
      const used = pods.flatMap(({ pod, containers }) => [
        ...(pod.volumes ?? []).flatMap(({ configMap }) => configMap?.name ?? []),
        ...containers.flatMap(({ envFrom = [] }) => envFrom.flatMap(({ configMapRef }) => configMapRef?.name ?? []))
      ])
      t.ok(used.length >= 7)
      for (const name of used) t.match(name, /-[a-z0-9]{10}$/)
    }
  )

  t.test(`${overlay}: what the embedded broker keeps in memory fits into its limit`, async (t) => {
    const container = pods.flatMap((one) => one.containers).find((one) => one.name === 'broker-proxy') as Container
    const measuredWith10000 = 442e6
    const limit = Number(/^(\d+)Mi$/.exec(container.resources?.limits?.memory ?? '')?.[1]) * 2 ** 20
    t.ok(measuredWith10000 + Number(envOf(container, objects).MQTT_QUEUED_BYTES) < limit * 0.85)
  })

  t.test(`${overlay}: its NATS servers come up together, whatever letters and digits their password has`, async (t) => {
    const [first = '', ...others] = await startNatsServers(t, objects, '5e7')
    t.equal(others.length, overlay === 'single' ? 0 : 2)
    type State = { meta_cluster?: { leader?: string; cluster_size: number } }
    const state = async () => (await (await fetch(`${first}/jsz`)).json()) as State
    const isReady = async () => (await fetch(`${first}/healthz?js-server-only=true`)).ok
    await until(isReady, { what: 'the first server to be ready' })
    if (others.length === 0) return
    const size = async () => {
      const { meta_cluster: { leader, cluster_size } = { cluster_size: 0 } } = await state()
      return leader ? cluster_size : 0
    }
    await until(async () => (await size()) === 3, { what: 'three servers to have a leader' })
  })

  t.test(`${overlay}: a variable is made of those before it`, async (t) => {
    for (const container of pods.flatMap(({ containers }) => containers)) {
      const open = Object.entries(expand(container, {})).filter(([, value]) => /\$\(\w+\)/.test(value))
      t.same(open, [], container.name)
    }
  })

  t.test(`${overlay}: secrets are named, never contained`, async (t) => {
    t.notOk(objects.some(({ kind }) => kind === 'Secret'))
    for (const { containers } of pods) {
      for (const { name, value } of containers.flatMap(({ env = [] }) => env)) {
        const isSecret = /PASSWORD|SECRET|API_KEY|MONGODB_URI|NATS_URL|COOKIE/.test(name) && !name.endsWith('_FILE')
        t.notOk(isSecret && value?.replaceAll(/"?\$\(\w+\)"?/g, ''), `${name} comes from a secret`)
      }
    }
  })
}

interface Peer {
  podSelector?: {
    matchLabels?: Record<string, string>
    matchExpressions?: { key: string; operator: string; values: string[] }[]
  }
}

/** Whom a selector lets in, by name; everybody where it names none. */
function namesOf({ matchLabels = {}, matchExpressions = [] }: Peer['podSelector'] = {}): string[] {
  const names = [...Object.values(matchLabels), ...matchExpressions.flatMap(({ values }) => values)]
  return names.length > 0 ? names : ['everybody']
}

if (kustomize) {
  t.test('production has three of everything, on different nodes where there are any', async (t) => {
    const least = (name: string) => {
      const scaler = production.find(
        ({ kind, metadata }) => kind === 'HorizontalPodAutoscaler' && metadata.name === name
      )
      const own = production.find(
        ({ kind, metadata }) => ['Deployment', 'StatefulSet'].includes(kind) && metadata.name === name
      )
      return (scaler?.spec?.minReplicas ?? own?.spec?.replicas) as number
    }
    for (const name of [...processes.map((process) => process.name), 'nats']) t.equal(least(name), 3, name)
    t.equal(production.find(({ kind }) => kind === 'MongoDBCommunity')?.spec?.members, 3)
    const spread = production.flatMap((object) => {
      const pod = podOf(object)
      return pod && !['Job', 'CronJob'].includes(object.kind)
        ? [[object.metadata.name, JSON.stringify(pod)] as const]
        : []
    })
    t.equal(spread.length, processes.length + 3)
    for (const [name, pod] of spread) t.match(pod, '"topologyKey":"kubernetes.io/hostname"', name)
  })

  t.test('of what has several replicas one goes at a time when nodes are emptied', async (t) => {
    const selected = production
      .filter(({ kind }) => kind === 'PodDisruptionBudget')
      .flatMap(({ spec }) => Object.values((spec as { selector: { matchLabels: object } }).selector.matchLabels))
    // The last one is the label of the operator's pods.
    t.same(selected.toSorted(), [...processes.map(({ name }) => name), 'nats', 'mongodb-svc'].toSorted())
    const [emqx] = production.filter(({ kind }) => kind === 'EMQX')
    t.match(emqx?.spec, { coreTemplate: { spec: { replicas: 3, maxUnavailable: 1 } } }, 'the operator makes one')
  })

  t.test(
    'EMQX is set up as broker-proxy asks for it, its secret by reference, and its operator reaches it',
    async (t) => {
      const [emqx] = production.filter(({ kind }) => kind === 'EMQX') as [KubeObject]
      t.same(missingOfEmqx(confOfEmqx(emqx), '$(AUTH_SECRET)'), [])
      t.match(podOf(emqx)?.containers[0]?.env?.[0], {
        name: 'AUTH_SECRET',
        valueFrom: { secretKeyRef: { key: String } }
      })
      const [policy] = production.filter(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'emqx')
      t.match(JSON.stringify(policy?.spec?.ingress), /"kubernetes.io\/metadata.name":"emqx-operator-system"/)
    }
  )

  t.test('large files and streams of events are not cut off on their way in', async (t) => {
    const [route] = production.filter(({ kind }) => kind === 'HTTPRoute')
    t.match(route?.spec, { rules: [{ timeouts: { request: '0s' } }] })
    const [ingress] = single.filter(({ kind }) => kind === 'Ingress')
    const prefix = 'nginx.ingress.kubernetes.io/proxy'
    const nginx = {
      [`${prefix}-body-size`]: '0',
      [`${prefix}-request-buffering`]: 'off',
      [`${prefix}-read-timeout`]: '3600'
    }
    t.match(ingress?.metadata, { annotations: nginx })
  })

  t.test('Grafana gets the dashboard that the compose file mounts', async (t) => {
    const maps = production.filter(({ metadata }) => metadata.labels?.grafana_dashboard === '1')
    const file = readFileSync(join(workspaceRoot, 'deploy/observability/dashboards/fleetgate.json'), 'utf8')
    t.same(
      maps.map(({ data }) => data),
      [{ 'fleetgate.json': file }]
    )
  })
}

if (kustomize) {
  t.test('the monitors find the port of each process once, under the job that the alerts name', async (t) => {
    const found = scraped(production).map(({ job, name, port }) => `${job}: ${name} ${port}`)
    const port = (name: string) => (name === 'gateway' ? 'metrics' : 'http')
    t.same(found.toSorted(), processes.map(({ name }) => `fleetgate: ${name} ${port(name)}`).toSorted())
  })
}

t.test('the operator gets the alert rules that the compose file uses', async (t) => {
  const read = (path: string) => parse(readFileSync(join(workspaceRoot, path), 'utf8')) as Record<string, unknown>
  const rule = read('k8s/components/monitoring/rules.yaml') as unknown as KubeObject
  t.same(rule.spec?.groups, read('deploy/observability/rules.yml').groups)
})
