import { statfs } from 'node:fs/promises'
import { arch, hostname, networkInterfaces, platform, release } from 'node:os'
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
    ip: firstAddress(),
    diskFree: await freeBytes(roots[0])
  }
  return { role, version, attributes: { ...own, ...attributes } }
}

/** Of the disk that files are received on by default; bytes, as text. */
async function freeBytes(path = '.'): Promise<string> {
  const facts = await statfs(path).catch(() => undefined)
  return facts ? String(facts.bavail * facts.bsize) : '0'
}

function firstAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return all.find((address) => !address.internal)?.address ?? '127.0.0.1'
}
