import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SshHost, SshHosts } from '@fleetgate/testkit'
import type { Cloud } from './cloud.js'

const keysFile = 'root/.ssh/authorized_keys'

/**
 * The machines of a cloud are these hosts: each order takes one that is free, with the order's key on it; one that is taken
 * away is switched off and has a new disk when it is let again.
 */
export function letHosts(cloud: Cloud, { hosts }: SshHosts): void {
  const off = new Set<SshHost>()
  const rented = new Map<string, SshHost>()
  const first = new Map(hosts.map((host) => [host, new Set(host.files())]))
  const keys = new Map(hosts.map((host) => [host, textOf(join(host.disk, keysFile))]))
  const ending = new Map<SshHost, Promise<void>>()

  async function renew(host: SshHost): Promise<void> {
    await ending.get(host)
    for (const file of host.files()) if (!first.get(host)?.has(file)) rmSync(join(host.disk, file), { force: true })
    if (keys.get(host)) writeFileSync(join(host.disk, keysFile), keys.get(host) ?? '')
    await host.start()
    off.delete(host)
  }

  cloud.place = async (machine) => {
    const free = hosts.find((host) => ![...rented.values()].includes(host))
    if (!free) throw new Error('the test has too few hosts')
    rented.set(machine.id, free)
    if (off.has(free)) await renew(free)
    const folder = '"$FLEETGATE_ROOT/root/.ssh"'
    await free.run(`mkdir -p ${folder} && echo '${machine.order.publicKey}' >>${folder}/authorized_keys`)
    return free.address
  }
  cloud.onGone = ({ id }) => {
    const host = rented.get(id)
    if (!host) return
    off.add(host)
    ending.set(host, host.kill())
    rented.delete(id)
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
