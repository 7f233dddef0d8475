import { statfs } from 'node:fs/promises'
import { arch, hostname, type NetworkInterfaceInfo, networkInterfaces, platform, release } from 'node:os'
import type { Hello } from '@fleetgate/contracts/fleet'
import type { AgentConfig } from './config.js'
import { version } from './version.js'

/** Who this machine is; the operator's own attributes win over ours. */
export async function helloOf({ role, attributes, roots }: AgentConfig): Promise<Hello> {
  const own = {
    os: platform(),
    osRelease: release(),
    arch: arch(),
    hostname: hostname(),
    nodeVersion: process.version,
    agentVersion: version,
    ip: addressOf(networkInterfaces()),
    diskFree: await freeBytes(roots[0])
  }
  return { role, version, attributes: { ...own, ...attributes } }
}

/** Of the disk that files are received on by default; bytes, as text. */
async function freeBytes(path = '.'): Promise<string> {
  const facts = await statfs(path).catch(() => undefined)
  return facts ? String(facts.bavail * facts.bsize) : '0'
}

/**
 * The one that people know the machine by: IPv4 before IPv6, and those that an interface gives itself last, which Windows and
 * macOS name first.
 */
export function addressOf(
  interfaces: NodeJS.Dict<Pick<NetworkInterfaceInfo, 'address' | 'family' | 'internal'>[]>
): string {
  const all = Object.values(interfaces).flatMap((addresses) => addresses ?? [])
  const outer = all.filter(({ internal }) => !internal)
  const rank = (one: (typeof outer)[number]) =>
    (/^(169\.254\.|fe[89ab])/i.test(one.address) ? 2 : 0) + (one.family === 'IPv4' ? 0 : 1)
  return outer.sort((a, b) => rank(a) - rank(b))[0]?.address ?? '127.0.0.1'
}
