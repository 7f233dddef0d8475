import type { Secrets } from '@fleetgate/store'
import { loginContext } from '../hosts/hostRunner.js'
import { newHexId } from '../linkerFields.js'
import { type Role, roles } from '../profiles/profile.js'
import { userOf } from '../providers/drivers.js'
import type { Provider } from '../providers/provider.js'
import { generateRsaPair } from '../pubkeys/sshKeys.js'
import { type ClusterCloud, type Host, noFigures } from './cluster.js'
import { hostName } from './hostDraft.js'

export interface MadeHostsOptions {
  clusterName: string
  counts: Record<Role, number>
  cloud: ClusterCloud
  /** PEM. */
  privateKey: string
  secrets: Secrets
  at: number
}

export function keyContext(clusterId: string): string {
  return `clusterKey:${clusterId}`
}

/** A pair of keys of its own for the machines of a cluster. */
export async function newCloud(
  { clusterId, provider, keyBits }: { clusterId: string; provider: Provider; keyBits: number },
  secrets: Secrets
): Promise<{ cloud: ClusterCloud; privateKey: string }> {
  const { publicKey, privatePem } = await generateRsaPair(keyBits, `fleetgate-${clusterId}`)
  const cloud: ClusterCloud = {
    providerId: provider.id,
    type: provider.type,
    publicKey,
    sealedKey: secrets.seal(privatePem, keyContext(clusterId)),
    user: userOf(provider),
    sshPort: provider.sshPort
  }
  return { cloud, privateKey: privatePem }
}

export function openKey(clusterId: string, { sealedKey }: ClusterCloud, secrets: Secrets): string {
  return secrets.open(sealedKey, keyContext(clusterId))
}

/** Hosts whose machines are still to be made: that they stand in the document is what says so. */
export function madeHosts({ clusterName, counts, cloud, privateKey, secrets, at }: MadeHostsOptions): Host[] {
  return roles.flatMap((role) =>
    Array.from({ length: counts[role] }, (): Host => {
      const id = newHexId(at)
      return {
        id,
        name: hostName(clusterName),
        role,
        status: 'INSTALLING',
        ip: '',
        privateIp: '',
        port: cloud.sshPort,
        user: cloud.user,
        nic: '',
        sealedLogin: secrets.seal(JSON.stringify({ privateKey }), loginContext(id)),
        machine: { serial: 1 },
        isTouched: false,
        figures: noFigures,
        createdAt: at,
        updatedAt: at
      }
    })
  )
}
