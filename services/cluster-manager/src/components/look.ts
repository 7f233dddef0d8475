import type { Log } from '@fleetgate/kit'
import { type Cluster, type Figures, type Host, liveHosts, monitorOf } from '../clusters/cluster.js'
import { createHostRunner, type HostRunner, type HostRunnerOptions } from '../hosts/hostRunner.js'
import { inputOf, type Shared } from '../hosts/input.js'
import { eachOf } from '../operations/eachOf.js'
import type { PhasePlan } from '../operations/operation.js'

export interface ComponentHealth {
  name: string
  ip: string
  isHealthy: boolean
}

/** What a host said of itself when it was asked. */
export interface HostLook {
  host: Host
  isThere: boolean
  components: ComponentHealth[]
  figures: Figures | undefined
}

/** How each part is, by its name, in the host's own words. */
interface Said {
  said: Map<string, string | undefined>
}

export interface LookDeps {
  shared: (cluster: Cluster) => Promise<Shared>
  runner: Pick<HostRunnerOptions, 'secrets' | 'settings'>
  now: () => number
  log: Log
}

const withinMs = 20_000
const hostsAtOnce = 50

/** Asks every live host, all at the same time, what runs on it. One that does not answer has nothing healthy. */
export async function lookAt({ shared, runner, now, log }: LookDeps, cluster: Cluster): Promise<HostLook[]> {
  const known = await shared(cluster)
  const hosts = createHostRunner(runner)
  const looks: (HostLook & Said)[] = []
  try {
    await eachOf(
      liveHosts(cluster).filter(({ status }) => status === 'RUNNING' || status === 'OFFLINE'),
      hostsAtOnce,
      async (host) => {
        const lines = await askHost({ hosts, known, scripts: ['figures.sh', 'status.sh'], now }, host).catch(
          (error) => {
            log.debug({ err: error, hostId: host.id }, 'host does not say how it is')
            return undefined
          }
        )
        looks.push(read(host, known, lines))
      }
    )
  } finally {
    hosts.close()
  }
  lookAtMonitor(known, looks)
  return looks.sort((a, b) => cluster.hosts.indexOf(a.host) - cluster.hosts.indexOf(b.host))
}

/** What the cluster has once is shown where it is to be, and is as any of the masters says. */
function lookAtMonitor({ cluster, profile }: Shared, looks: readonly (HostLook & Said)[]): void {
  const monitor = monitorOf(cluster)
  const masters = looks.filter(({ host }) => host.role === 'master')
  const isHealthy = (name: string) => masters.some(({ said }) => said.get(name) === 'Healthy')
  for (const { host, components } of looks) {
    if (host.id !== monitor?.id) continue
    const names = profile.monitoringComponents ?? []
    components.push(...names.map((name) => ({ name, ip: host.ip, isHealthy: isHealthy(name) })))
  }
}

export interface Asking {
  hosts: HostRunner
  known: Shared
  scripts: string[]
  now: () => number
}

/** What scripts say that only look, within 20 s. Rejects with a HostProblem. */
export function askHost({ hosts, known, scripts, now }: Asking, host: Host): Promise<string[]> {
  const { cluster, profile } = known
  const plan: PhasePlan = { name: 'look', kind: 'run', scripts, hosts: [host], timeoutS: withinMs / 1000 }
  return hosts.run(host, {
    id: 'direct',
    operationId: cluster.id,
    clusterId: cluster.id,
    epoch: 0,
    last: false,
    program: profile.program,
    scripts,
    input: inputOf(known, host, plan, now()),
    timeoutMs: withinMs,
    patient: false,
    onLine: () => {},
    signal: new AbortController().signal
  })
}

function read(host: Host, { cluster, profile }: Shared, lines: string[] | undefined): HostLook & Said {
  const words = (lines ?? []).map((line) => line.split(' '))
  const said = new Map(
    words.flatMap(([word, name, state]) => (word === 'component' && name ? [[name, state] as const] : []))
  )
  const figure = (wanted: string) => words.find(([word, name]) => word === 'figure' && name === wanted)?.[2] ?? ''
  const expected = profile.components[cluster.category][host.role]
  return {
    host,
    said,
    isThere: lines !== undefined,
    components: expected.map((name) => ({ name, ip: host.ip, isHealthy: said.get(name) === 'Healthy' })),
    figures: lines && {
      cpu: figure('cpu'),
      memory: figure('memory'),
      gpu: figure('gpu'),
      task: Number(figure('task')) || 0
    }
  }
}
