import type { Secrets } from '@fleetgate/store'
import type { Cluster } from './cluster.js'

/** By which names the keys of the place for snapshots are among a cluster's secrets; masters alone are told them. */
export const snapshotSecrets = { accessKey: 's3AccessKey', secretKey: 's3SecretKey' } as const

export function secretsContext(clusterId: string): string {
  return `cluster:${clusterId}`
}

/** Those that were made or given for a cluster, by their names. */
export function secretsOf({ id, sealedSecrets }: Cluster, secrets: Secrets): Record<string, string> {
  return JSON.parse(secrets.open(sealedSecrets, secretsContext(id)))
}

export function sealSecrets(id: string, all: Record<string, string>, secrets: Secrets): string {
  return secrets.seal(JSON.stringify(all), secretsContext(id))
}
