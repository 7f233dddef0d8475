import { AppError } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { optionNames, type Profile } from '../profiles/profile.js'
import { type Cluster, type Host, liveHosts } from './cluster.js'
import { sealSecrets, secretsOf, snapshotSecrets } from './clusterSecrets.js'
import { isSchedule } from './schedule.js'

/** Where snapshots go besides the masters' own disks; its keys are among the cluster's secrets. */
export interface SnapshotStore {
  endpoint: string
  bucket: string
  region: string
  folder: string
  insecure: boolean
}

export interface Snapshots {
  schedule?: string | undefined
  retention?: number | undefined
  s3?: SnapshotStore | undefined
}

/** What a cluster is to have beyond its size and hosts. */
export interface ClusterOptions {
  /** Under which hosts join and programs reach the API: an IPv4 address, or a DNS name in small letters. */
  apiAddress?: string | undefined
  monitoring?: boolean | undefined
  snapshots?: Snapshots | undefined
}

/** As requests carry it: what is absent stays as it is; empty text, false and an object without fields take it away. */
export interface OptionsDraft {
  apiAddress?: string | undefined
  monitoring?: boolean | undefined
  snapshots?: (Omit<Snapshots, 's3'> & { s3?: (SnapshotStore & SnapshotKeys) | undefined }) | undefined
}

type SnapshotKeys = Record<keyof typeof snapshotSecrets, string>

export interface Chosen {
  options: ClusterOptions
  /** Those of the cluster, the keys for snapshots among them. */
  secrets: Record<string, string>
}

/** As they are after a request. Throws for what the profile does not have, and for a schedule that is none. */
export function withOptions(before: Chosen, draft: OptionsDraft, profile: Profile): Chosen {
  checkKnown(draft, profile)
  const { apiAddress, monitoring, snapshots } = draft
  const options = { ...before.options }
  if (apiAddress !== undefined) options.apiAddress = apiAddress || undefined
  if (monitoring !== undefined) options.monitoring = monitoring || undefined
  return snapshots ? withSnapshots({ ...before, options }, snapshots) : { ...before, options }
}

function withSnapshots(before: Chosen, { s3, ...when }: NonNullable<OptionsDraft['snapshots']>): Chosen {
  if (when.schedule !== undefined && !isSchedule(when.schedule)) {
    throw new AppError('invalid_input', 'snapshots.schedule must be five fields of cron, such as 0 */6 * * *', {
      field: 'snapshots.schedule'
    })
  }
  const { [snapshotSecrets.accessKey]: _access, [snapshotSecrets.secretKey]: _secret, ...secrets } = before.secrets
  if (!s3) return { options: { ...before.options, snapshots: isAsked(when) ? when : undefined }, secrets }
  const { accessKey, secretKey, ...store } = s3
  return {
    options: { ...before.options, snapshots: { ...when, s3: store } },
    secrets: { ...secrets, [snapshotSecrets.accessKey]: accessKey, [snapshotSecrets.secretKey]: secretKey }
  }
}

export function isChoice(draft: OptionsDraft): boolean {
  return Object.values(draft).some((one) => one !== undefined)
}

/** What of a cluster changes with a request for other options. Throws as `withOptions` does, and for the address of a host. */
export function changeOptions(cluster: Cluster, draft: OptionsDraft, profile: Profile, secrets: Secrets) {
  const before = { options: cluster.options, secrets: secretsOf(cluster, secrets) }
  const after = withOptions(before, draft, profile)
  checkApiAddress(after.options, liveHosts(cluster))
  return { options: after.options, sealedSecrets: sealSecrets(cluster.id, after.secrets, secrets) }
}

function checkKnown(draft: OptionsDraft, profile: Profile): void {
  for (const field of optionNames) {
    if (!isAsked(draft[field]) || profile.options?.includes(field)) continue
    throw new AppError('invalid_input', `the profile ${profile.name} has no ${field}`, { field })
  }
}

function isAsked(value: unknown): boolean {
  return typeof value === 'object' && value !== null
    ? Object.values(value).some((one) => one !== undefined)
    : Boolean(value)
}

/** The address of the API leads to masters, whichever of them is there: none of the hosts has it as its own. */
export function checkApiAddress(
  { apiAddress }: ClusterOptions,
  hosts: readonly Host[],
  field: 'apiAddress' | 'ip' = 'apiAddress'
): void {
  if (!apiAddress || hosts.every(({ ip }) => ip !== apiAddress)) return
  throw new AppError('conflict', `the address ${apiAddress} is that of the API, and of a host`, {
    field,
    wireCode: 'E50019'
  })
}

/** Nobody can lead an address to machines that are still to be made, and hosts join there. */
export function checkMadeMasters({ apiAddress }: ClusterOptions): void {
  if (!apiAddress) return
  const reason = 'apiAddress leads to masters, and these are still to be made: give it with apply'
  throw new AppError('invalid_input', reason, { field: 'apiAddress' })
}
