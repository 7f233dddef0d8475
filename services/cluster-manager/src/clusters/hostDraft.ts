import { randomBytes } from 'node:crypto'
import type { Secrets } from '@fleetgate/store'
import { loginContext } from '../hosts/hostRunner.js'
import { newHexId } from '../linkerFields.js'
import { roles } from '../profiles/profile.js'
import { type Host, noFigures } from './cluster.js'
import { type NodeDrafts, readLogin } from './rules.js'

/** Hosts of the nodes of a request, with what opens them sealed. Throws where a key does not open. */
export function draftHosts(nodes: NodeDrafts, clusterName: string, secrets: Secrets, at: number): Host[] {
  return roles.flatMap((role) =>
    nodes[role].map((node, index): Host => {
      const id = newHexId(at)
      const { bastion } = node
      const login = readLogin(node, `${role}Nodes.${index}`)
      return {
        id,
        name: hostName(clusterName),
        role,
        status: 'INSTALLING',
        ip: node.ip,
        privateIp: '',
        port: node.sshPort,
        user: node.sshUser,
        nic: node.privateNicName,
        bastion: bastion && { ip: bastion.ip, port: bastion.sshPort, user: bastion.sshUser },
        sealedLogin: secrets.seal(JSON.stringify(login), loginContext(id)),
        hostKey: node.hostKey,
        bastionKey: bastion?.hostKey,
        isTouched: false,
        figures: noFigures,
        createdAt: at,
        updatedAt: at
      }
    })
  )
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
