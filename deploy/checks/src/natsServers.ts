import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { launch, natsBinary } from '@fleetgate/local'
import { freePort, type Teardown, temporaryFolder } from '@fleetgate/testkit'
import { expand, type KubeObject, podOf } from './objects.js'

/** The NATS servers that an overlay deploys, on this machine: as many, with its configuration and environment. */
export async function startNatsServers(t: Teardown, objects: KubeObject[], password: string): Promise<string[]> {
  const dir = temporaryFolder(t)
  const find = (kind: string) =>
    objects.find((one) => one.kind === kind && /^nats(-[a-z0-9]{10})?$/.test(one.metadata.name)) as KubeObject
  const set = find('StatefulSet')
  const [container] = podOf(set)?.containers ?? []
  if (!container) throw new Error('the StatefulSet nats has no container')
  const names = Array.from({ length: Number(set.spec?.replicas) }, (_, index) => `nats-${index}`)
  const servers = await Promise.all(
    names.map(async (name) => ({ name, home: join(dir, name), client: await freePort(), peers: await freePort() }))
  )
  return Promise.all(
    servers.map(async ({ name, home, client, peers }) => {
      const monitor = await freePort()
      const here = (text: string) =>
        servers
          .reduce((all, other) => all.replaceAll(`${other.name}.nats-peers:6222`, `127.0.0.1:${other.peers}`), text)
          .replace('http_port: 8222', `http: 127.0.0.1:${monitor}`)
          .replace('port: 4222', `listen: 127.0.0.1:${client}`)
          .replace('port: 6222', `listen: 127.0.0.1:${peers}`)
          .replace('/data', home)
          .replace('/tmp', home)
      mkdirSync(home)
      for (const [file, text] of Object.entries(find('ConfigMap').data ?? {}))
        writeFileSync(join(home, file), here(text))
      const known = expand(container, { 'fleetgate-nats': password, 'metadata.name': name })
      const env = Object.fromEntries(Object.entries(known).map(([key, value]) => [key, here(value)]))
      const command = { name, command: natsBinary(), args: ['-c', join(home, 'nats.conf')], endsWithParent: false, env }
      const child = launch({ ...command, env: { PATH: process.env.PATH, ...env } }, () => undefined)
      t.teardown(() => child.stop(0))
      return `http://127.0.0.1:${monitor}`
    })
  )
}
