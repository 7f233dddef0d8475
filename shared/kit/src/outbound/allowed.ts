import { BlockList, isIP } from 'node:net'

/** Which addresses may be called on behalf of a person. */
export interface Allowed {
  /** By its name alone, whatever it resolves to. */
  host(name: string): boolean
  address(ip: string): boolean
}

/** What is not the public Internet (IANA's special-purpose registries), and what leads there in other notations. */
const closed = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ...[
    '224.0.0.0/4',
    '240.0.0.0/4',
    '::/96',
    '64:ff9b::/96',
    '64:ff9b:1::/48',
    '100::/64',
    '2001::/23',
    '2001:db8::/32'
  ],
  ...['2002::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8']
]

const closedList = listOf(closed)

/** `setting`: host names, addresses and CIDR ranges with commas between them; throws where one is none of these. */
export function createAllowed(setting: string): Allowed {
  const parts = setting
    .split(',')
    .map((part) => part.trim().toLowerCase())
    .filter(Boolean)
  const isRange = (part: string) => isIP(part.split('/')[0] ?? '') !== 0
  const ranges = listOf(parts.filter(isRange))
  const names = new Set(parts.filter((part) => !isRange(part)))
  for (const name of names)
    if (!/^[a-z0-9.-]+$/.test(name)) throw new Error(`"${name}" is no host, address or CIDR range`)
  return {
    host: (name) => names.has(name.toLowerCase().replace(/\.$/, '')),
    address: (ip) => has(ranges, ip) || !has(closedList, ip)
  }
}

function listOf(ranges: string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [ip = '', bits] = range.split('/')
    const kind = isIP(ip) === 6 ? 'ipv6' : 'ipv4'
    list.addSubnet(ip, bits === undefined ? (kind === 'ipv6' ? 128 : 32) : Number(bits), kind)
  }
  return list
}

/** An IPv4 address in IPv6 clothes counts as what it is. */
function has(list: BlockList, ip: string): boolean {
  const plain = ip.replace(/%.*$/, '')
  const mapped = mappedIpv4(plain)
  if (mapped) return list.check(mapped, 'ipv4')
  return list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4')
}

function mappedIpv4(ip: string): string | undefined {
  if (isIP(ip) !== 6) return undefined
  // The URL parser writes every IPv6 address in its one short form.
  const short = new URL(`http://[${ip}]`).hostname
  const [, high, low] = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(short) ?? []
  if (high === undefined || low === undefined) return undefined
  const bits = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16)
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.')
}
