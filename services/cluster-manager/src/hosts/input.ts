import {
  type Cluster,
  type Host,
  ingressHosts,
  innerAddress,
  leaderOf,
  mastersOf,
  monitorOf
} from '../clusters/cluster.js'
import { snapshotSecrets } from '../clusters/clusterSecrets.js'
import type { ClusterOptions } from '../clusters/options.js'
import type { PhasePlan } from '../operations/operation.js'
import type { Download } from '../profiles/download.js'
import type { Profile, StagedFile } from '../profiles/profile.js'
import { valuesText } from './runText.js'

/** A registry as hosts are told of it. */
export interface HostRegistry {
  address: string
  secure: boolean
  ca: string
  username: string
  password: string
  isSystem: boolean
}

/** What is the same for all hosts of a cluster during one operation. */
export interface Shared {
  cluster: Cluster
  profile: Profile
  files: StagedFile[]
  /** What hosts fetch themselves, where something is to be brought to them. */
  download?: Download | undefined
  secrets: Record<string, string>
  registries: HostRegistry[]
  /** Lines for authorized_keys. */
  keys: string[]
  storeMegabytes: number
  version: string
}

const architectures: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' }

/** What the scripts of one run read on one host. Throws a HostProblem for what no shell can keep. */
export function inputOf(shared: Shared, host: Host, plan: PhasePlan, now: number): string {
  const { cluster, profile, files, secrets, keys } = shared
  const registries = shared.registries.filter(isFirst)
  const masters = mastersOf(cluster)
  const leader = leaderOf(cluster)
  const values: Record<string, string | number> = {
    cluster: cluster.id,
    clusterName: cluster.name,
    category: cluster.category,
    operation: cluster.operation.id,
    host: host.name,
    role: host.role,
    address: innerAddress(host),
    publicAddress: host.ip,
    nic: host.nic,
    // Behind an address of the computer itself there is no interface of its own.
    checkNic: host.ip.startsWith('127.') ? 0 : 1,
    leader: leader ? innerAddress(leader) : '',
    isLeader: leader?.id === host.id ? 1 : 0,
    masters: masters.map(innerAddress).join(' '),
    // Masters have one and the same; the first makes it as it starts, before the others are told.
    authority: leader?.authority ?? '',
    clustered: cluster.category === 'ha' ? 1 : 0,
    replicas: cluster.category === 'ha' ? 3 : 1,
    gone: plan.gone?.map(({ name }) => name).join(' ') ?? '',
    timeout: Math.max(5, plan.timeoutS - 5),
    now: Math.floor(now / 1000),
    arch: profile.arch === 'control' && files.length > 0 ? (architectures[process.arch] ?? '') : '',
    ports: profile.ports.join(' '),
    diskMegabytes: profile.diskMegabytes,
    memoryMegabytes: profile.memoryMegabytes,
    storeMegabytes: shared.storeMegabytes,
    version: shared.version,
    files: files.map(({ sha256 }) => sha256).join(' '),
    ingressHosts: ingressHosts(cluster).length,
    monitor: monitorOf(cluster)?.name ?? '',
    ...optionValues(cluster.options),
    registries: registries.length
  }
  for (const { name, sha256 } of files) values[`file_${name}`] = sha256
  Object.assign(values, downloadOf(shared.download))
  for (const [name, secret] of Object.entries(secrets)) {
    if (host.role === 'master' || !ofMasters.includes(name)) values[`secret_${name}`] = secret
  }
  registries.forEach((registry, index) => {
    const at = `registry_${index}`
    values[`${at}_address`] = registry.address
    values[`${at}_insecure`] = registry.secure ? 0 : 1
    values[`${at}_system`] = registry.isSystem ? 1 : 0
    values[`${at}_username`] = registry.username
    values[`${at}_password`] = registry.password
    values[`${at}_auth`] = authOf(registry)
  })
  const lines = Object.entries(values).map(([key, value]) => [key, oneLine(String(value))] as const)
  const texts = registries.map(({ ca }, index) => [`registry_${index}_ca`, ca.trim()] as const)
  return valuesText({
    ...Object.fromEntries([...lines, ...texts]),
    keys: keys.map(oneLine).join('\n')
  })
}

/** Nobody else takes snapshots. */
const ofMasters: string[] = Object.values(snapshotSecrets)

/** Empty for what the cluster does not have. */
function optionValues({ apiAddress = '', monitoring = false, snapshots = {} }: ClusterOptions) {
  const { schedule = '', retention = '', s3 } = snapshots
  return {
    apiAddress,
    monitoring: monitoring ? 1 : 0,
    snapshotSchedule: schedule,
    snapshotRetention: retention,
    s3Endpoint: s3?.endpoint ?? '',
    s3Bucket: s3?.bucket ?? '',
    s3Region: s3?.region ?? '',
    s3Folder: s3?.folder ?? '',
    s3Insecure: s3?.insecure ? 1 : 0
  }
}

function downloadOf(download: Download | undefined): Record<string, string> {
  if (!download) return {}
  const archives = Object.entries(download.archives).map(([arch, { sha256, url }]) => [
    `download_${arch}`,
    `${sha256} ${url}`
  ])
  return { download_version: download.version, download_problem: download.problem, ...Object.fromEntries(archives) }
}

/** User and password as auth files have them; empty where there is no user. */
export function authOf({ username, password }: HostRegistry): string {
  return username ? Buffer.from(`${username}:${password}`).toString('base64') : ''
}

/** What reads a list of registries takes each address once. */
function isFirst({ address }: HostRegistry, index: number, all: HostRegistry[]): boolean {
  return all.findIndex((one) => one.address === address) === index
}

/** The edge has refused control characters already; a second line would be a second key here. */
function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ')
}
