import { isIP } from 'node:net'
import { createAddressRanges } from '../addressRanges.js'

/** Which addresses may be called on behalf of a person. */
export interface Allowed {
  /** By its name alone, whatever it resolves to. */
  host(name: string): boolean
  address(ip: string): boolean
}

/**
 * What is not the public Internet (IANA's special-purpose registries), and what leads there in other notations. Of IPv6 only 2000::/3
 * is given to the Internet; of the rest no range may hold ::ffff:0:0/96, in which BlockList finds every IPv4 address.
 */
const closed = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ...['224.0.0.0/4', '240.0.0.0/4', '::/96', '::ffff:0:0:0/96', '64:ff9b::/32'],
  ...['100::/8', '200::/7', '400::/6', '800::/5', '1000::/4', '4000::/2', '8000::/1'],
  ...['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']
]

const closedRanges = createAddressRanges(closed)

/** `setting`: host names, addresses and CIDR ranges with commas between them; throws where one is none of these. */
export function createAllowed(setting: string): Allowed {
  const parts = setting
    .split(',')
    .map((part) => part.trim().toLowerCase())
    .filter(Boolean)
  const isRange = (part: string) => isIP(part.split('/')[0] ?? '') !== 0
  const ranges = createAddressRanges(parts.filter(isRange))
  const names = new Set(parts.filter((part) => !isRange(part)))
  for (const name of names)
    if (!/^[a-z0-9.-]+$/.test(name)) throw new Error(`"${name}" is no host, address or CIDR range`)
  return {
    host: (name) => names.has(name.toLowerCase().replace(/\.$/, '')),
    address: (ip) => ranges.has(ip) || !closedRanges.has(ip)
  }
}
