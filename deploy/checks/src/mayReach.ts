import { BlockList, isIPv6 } from 'node:net'
import type { KubeObject } from './objects.js'

interface Policy {
  podSelector: { matchLabels?: Record<string, string> }
  egress?: {
    to?: { ipBlock?: { cidr: string; except?: string[] } }[]
    ports?: { port?: number; protocol?: string }[]
  }[]
}

/** Whether the network policies let the process of that name open a TCP connection to an address that is no pod's. */
export function mayReach(objects: KubeObject[], name: string, address: string, port: number): boolean {
  const rules = objects
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .map(({ spec }) => spec as unknown as Policy)
    .filter(({ podSelector }) => podSelector.matchLabels?.['app.kubernetes.io/name'] === name)
    .flatMap(({ egress = [] }) => egress)
  return rules.some(({ to, ports }) => {
    const isPlace = !to || to.some(({ ipBlock }) => ipBlock && isWithin(ipBlock, address))
    const isPort = !ports || ports.some((one) => one.protocol !== 'UDP' && (one.port ?? port) === port)
    return isPlace && isPort
  })
}

function isWithin({ cidr, except = [] }: { cidr: string; except?: string[] }, address: string): boolean {
  return contains(cidr, address) && !except.some((range) => contains(range, address))
}

function contains(range: string, address: string): boolean {
  const [net = '', prefix] = range.split('/')
  if (isIPv6(net) !== isIPv6(address)) return false
  const list = new BlockList()
  const family = isIPv6(net) ? 'ipv6' : 'ipv4'
  list.addSubnet(net, Number(prefix), family)
  return list.check(address, family)
}
