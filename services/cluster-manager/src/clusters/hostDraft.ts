import { randomBytes } from 'node:crypto'
import type { Secrets } from '@fleetgate/store'
import { loginContext } from '../hosts/hostRunner.js'
import { newHexId } from '../linkerFields.js'
import { roles } from '../profiles/profile.js'
import { createKeyReader } from '../ssh/keyReader.js'
import { type Host, noFigures } from './cluster.js'
import { type NodeDraft, type NodeDrafts, readLogin } from './rules.js'

/** Hosts of the nodes of a request, with what opens them sealed. Rejects where a key does not open. */
export async function draftHosts(
  nodes: NodeDrafts,
  clusterName: string,
  secrets: Secrets,
  at: number
): Promise<Host[]> {
  const keys = createKeyReader()
  const hosts: Host[] = []
  try {
    for (const role of roles) {
      for (const [index, node] of nodes[role].entries()) {
        const id = newHexId(at)
        const login = await readLogin(node, `${role}Nodes.${index}`, keys)
        const sealedLogin = secrets.seal(JSON.stringify(login), loginContext(id))
        hosts.push(hostOf(node, { id, role, name: hostName(clusterName), sealedLogin }, at))
      }
    }
  } finally {
    keys.close()
  }
  return hosts
}

function hostOf(node: NodeDraft, own: Pick<Host, 'id' | 'role' | 'name' | 'sealedLogin'>, at: number): Host {
  const { bastion } = node
  return {
    ...own,
    status: 'INSTALLING',
    ip: node.ip,
    privateIp: '',
    port: node.sshPort,
    user: node.sshUser,
    nic: node.privateNicName,
    bastion: bastion && { ip: bastion.ip, port: bastion.sshPort, user: bastion.sshUser },
    hostKey: node.hostKey,
    bastionKey: bastion?.hostKey,
    isTouched: false,
    figures: noFigures,
    createdAt: at,
    updatedAt: at
  }
}

export function hostName(clusterName: string): string {
  return `h-${randomBytes(4).toString('hex')}-${label(clusterName)}`
}

/** A part of a host name. */
function label(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'cluster'
  )
}
