import { BlockList, isIP } from 'node:net'

export interface AddressRanges {
  /** An IPv4 address in IPv6 clothes counts as what it is. */
  has(ip: string): boolean
}

/** Addresses and CIDR ranges, of IPv4 and IPv6; throws where one is neither. */
export function createAddressRanges(ranges: readonly string[]): AddressRanges {
  const list = new BlockList()
  for (const range of ranges) {
    const [ip = '', bits, ...more] = range.split('/')
    const kind = isIP(ip) === 6 ? 'ipv6' : 'ipv4'
    const most = kind === 'ipv6' ? 128 : 32
    const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
    if (isIP(ip) === 0 || more.length > 0 || !(length <= most))
      throw new Error(`"${range}" is no address or CIDR range`)
    list.addSubnet(ip, length, kind)
  }
  return {
    has(ip) {
      const plain = ip.replace(/%.*$/, '')
      const mapped = mappedIpv4(plain)
      if (mapped) return list.check(mapped, 'ipv4')
      return list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4')
    }
  }
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
