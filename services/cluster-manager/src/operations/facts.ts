import { isIPv4 } from 'node:net'

const isSha256 = (text: string) => /^[0-9a-f]{64}$/.test(text)

/** What a run found out about a host: lines `fact key value` and `problem …`. */
export interface HostFacts {
  hostname: string
  privateIp: string
  /** Of a master: SHA-256 of the authority by which those that join know its servers. */
  authority: string
  /** Checksums of the files that are there already. */
  staged: string[]
  /** Packings that the host can undo. */
  unpacks: string[]
  problems: string[]
}

export function factsOf(lines: readonly string[]): HostFacts {
  const words = lines.filter((line) => line.startsWith('fact ')).map((line) => line.split(' '))
  const all = (wanted: string) => words.flatMap(([, key, value]) => (key === wanted && value ? [value] : []))
  return {
    hostname: all('hostname').at(-1) ?? '',
    // Goes into what other hosts are told.
    privateIp: all('privateIp').filter(isIPv4).at(-1) ?? '',
    authority: all('authority').filter(isSha256).at(-1) ?? '',
    staged: all('staged'),
    unpacks: all('unpacks'),
    problems: lines.filter((line) => line.startsWith('problem ')).map((line) => line.slice(8, 508))
  }
}
