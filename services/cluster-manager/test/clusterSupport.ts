import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  createApi,
  natsBinary,
  type RunningService,
  type Session,
  type SshHost,
  type SshHosts,
  type SshHostsOptions,
  startParts,
  startService,
  startSshHosts,
  type Teardown,
  testGuardKeys,
  until
} from '@fleetgate/testkit'
import { type Reply, serveKeys } from './support.js'

export interface ClusterView {
  _id: string
  name: string
  status: string
  endPoint: string
  instances: number
  details: string
  operationId: string
  pubkeyId: string[]
  dockerRegistries: { _id: string; password: string }[]
}

export interface HostView {
  hostId: string
  hostName: string
  status: string
  ip: string
  cpu: string
  memory: string
  gpu: string
  task: number
  tag: string[] | null
  message: string
  hostKey: string
  isMasterNode: boolean
  isSharedNode: boolean
}

export interface OperationView {
  id: string
  state: string
  message: string
  attempt: number
  phase: string
  phases: { name: string; state: string }[]
  hosts: { ip: string; phase: string; state: string; message: string }[]
  problems: { ip: string; message: string }[]
  time_end?: string
}

/** Short times, so that what is lost is soon known to be. */
export const clusterEnv = {
  NATS_SERVER_BINARY: natsBinary(),
  NATS_STORE_MB: '64',
  LEASE_MS: '1000',
  SSH_CONNECT_MS: '4000',
  HOST_LOST_MS: '20000',
  WATCH_MS: '500'
}

/** The service in processes of its own, so that they can be killed, and hosts. */
export async function startProcesses(t: Teardown, options: SshHostsOptions & { replicas?: number; env?: object }) {
  const parts = await startParts(t)
  const guardKeys = testGuardKeys()
  await serveKeys(t, parts, guardKeys)
  const env = { ...clusterEnv, KEY_BITS: '2048', ...options.env }
  const [hosts, ...services] = await Promise.all([
    startSshHosts(t, options),
    ...Array.from({ length: options.replicas ?? 1 }, () => startService(t, { name: 'cluster-manager', parts, env }))
  ])
  const codes = ['cluster.view', 'cluster.edit', 'key.view', 'key.edit', 'smtp.view', 'smtp.edit']
  const token = guardKeys.token({ userId: 'ann', tenantId: 't1', codes })
  const sessionOf = ({ url }: RunningService, as = token) => createApi(url).as(as)
  return { parts, hosts, services, guardKeys, token, sessionOf }
}

/** A host as requests carry it, with the key in the document's form. */
export function node(hosts: SshHosts, host: SshHost, more: object = {}): object {
  const privateKey = Buffer.from(hosts.privateKey).toString('base64')
  return { ip: host.address, sshUser: 'root', sshPort: host.port, privateKey, privateNicName: 'eth0', ...more }
}

/** The first hosts as masters, the next as shared, the rest as pure slaves. */
export function draft(
  hosts: SshHosts,
  name: string,
  [masters, shared]: [number, number],
  picked = hosts.hosts
): object {
  const nodes = picked.map((host) => node(hosts, host))
  return {
    name,
    profile: 'nats',
    createCategory: masters > 1 ? 'ha' : 'compact',
    masterCount: masters,
    masterNodes: nodes.slice(0, masters),
    sharedNodes: nodes.slice(masters, masters + shared),
    pureslaveNodes: nodes.slice(masters + shared),
    type: 'customized'
  }
}

export async function operationOf(api: Session, id: string): Promise<OperationView> {
  return (await api.get<Reply<OperationView>>(`/v1/operations/${id}`)).body.data
}

export async function clusterOf(api: Session, id: string): Promise<ClusterView> {
  return (await api.get<Reply<ClusterView>>(`/v1/cluster/${id}`)).body.data
}

export async function hostsOf(api: Session, id: string, query = ''): Promise<HostView[]> {
  return (await api.get<Reply<HostView[]>>(`/v1/cluster/${id}/hosts${query}`)).body.data
}

/** How often the cluster's server was started on a host, as its own log tells. */
export async function startsOf(host: SshHost): Promise<number> {
  return Number(await host.run('grep -c "Starting nats-server" "$FLEETGATE_ROOT/var/lib/fleetgate/nats/log"'))
}

/** Makes a program of a host stand still in the middle of an operation, where it is called with such words; it counts those calls. */
export function createHold({ disk, run }: SshHost, program: string, words: string) {
  const [calls, hold] = ['calls', 'hold'].map((word) => `"$FLEETGATE_ROOT"/var/${word}-${program}`)
  const tool = join(disk, 'usr/local/bin', program)
  return {
    /** The count begins anew. */
    async begin(): Promise<void> {
      mkdirSync(dirname(tool), { recursive: true })
      const wait = `echo called >>${calls}; while [ -e ${hold} ]; do sleep 0.1; done`
      writeFileSync(tool, `#!/bin/sh\ncase $* in ${words}) ${wait} ;; esac\nexec /bin/${program} "$@"\n`, {
        mode: 0o755
      })
      await run(`rm -f ${calls}; touch ${hold}`)
    },
    /** Waits until it was called so often. */
    met: (times: number) =>
      until(async () => Number(await run(`cat ${calls} 2>/dev/null | wc -l`)) === times, {
        what: `${program} to be called ${times} times`
      }),
    end: () => run(`rm ${hold}`)
  }
}

/** The installation of the server of `nats`, in its middle. */
export const holdInstallation = (host: SshHost) => createHold(host, 'ln', '*fleetgate/nats/nats-server')

/** Waits for the end of the last operation of a cluster. */
export async function ended(api: Session, clusterId: string, deadlineMs = 90_000): Promise<OperationView> {
  const { operationId } = await clusterOf(api, clusterId)
  return until(
    async () => {
      const operation = await operationOf(api, operationId)
      return operation.time_end === undefined ? undefined : operation
    },
    { what: `the end of operation ${operationId}`, deadlineMs, everyMs: 50 }
  )
}

/** Sends a request that begins an operation, and waits for its end. */
export async function made(api: Session, body: object): Promise<{ id: string; operation: OperationView }> {
  const reply = await api.post<Reply<ClusterView>>('/v1/cluster', body)
  if (reply.status !== 200) throw new Error(reply.text)
  const id = reply.body.data._id
  return { id, operation: await ended(api, id) }
}

/** From now on each phase takes these hosts long enough to be seen: what begins a run, ends a look and stages a file is slow. */
export function linger({ hosts }: SshHosts): void {
  const slow = { setsid: '*', hostname: '*', mkdir: '*fleetgate/files*' }
  for (const { disk } of hosts) {
    mkdirSync(join(disk, 'usr/local/bin'), { recursive: true })
    for (const [program, words] of Object.entries(slow)) {
      const text = `#!/bin/sh\ncase $* in ${words}) sleep 0.4 ;; esac\nexec $(PATH=/usr/bin:/bin command -v ${program}) "$@"\n`
      writeFileSync(join(disk, 'usr/local/bin', program), text, { mode: 0o755 })
    }
  }
}

/** Kills the service with -9 in each phase of the cluster's last operation, once; answers the phases. */
export async function killedInEach(api: Session, service: RunningService, clusterId: string): Promise<string[]> {
  const { operationId } = await clusterOf(api, clusterId)
  const killed = new Set<string>()
  for (;;) {
    const operation = await operationOf(api, operationId)
    if (operation.time_end) return [...killed]
    if (!operation.phase || killed.has(operation.phase)) continue
    killed.add(operation.phase)
    await service.kill()
    await service.restart()
  }
}
