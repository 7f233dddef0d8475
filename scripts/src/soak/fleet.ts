import { randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Session, until } from '@fleetgate/testkit'
import { get, type Page } from '../demo/client.js'
import { createMachine, createMqttUser, type Machine, waitOnline } from '../demo/machines.js'
import type { Ground } from './load.js'
import { type SoakMachine, startMachine } from './machine.js'

const machinesOfLoad = 6
const fileBytes = 700 * 1024

export async function connectMachines({ account, mqttUrl, random, atEnd }: Ground): Promise<SoakMachine[]> {
  const username = 'soak-machines'
  const password = await createMqttUser(account, username)
  const machines = Array.from({ length: machinesOfLoad }, (_, index) =>
    startMachine({ clientId: `soak-${index + 1}`, mqttUrl, username, password, random })
  )
  atEnd(() => Promise.all(machines.map((machine) => machine.close())))
  return machines
}

export async function numbersOf(session: Session, machines: SoakMachine[]): Promise<number[]> {
  type Row = { clientId: number }
  const path = '/v1/clients?pageNo=1&pageSize=100&status=ONLINE&mqttClientIdContain=soak-'
  const isWhole = async () => {
    const { list } = await get<Page<Row>>(session, path)
    return list.length < machines.length ? undefined : list.map(({ clientId }) => clientId)
  }
  return until(isWhole, { what: 'all machines to be online', deadlineMs: 60_000, everyMs: 100 })
}

/** A file from the SERVER, then a program that notes that it ran. */
export const fileSteps = [
  {
    ...{ type: 'SEND_FILE', order: 0, filePath: 'release.bin', targetFilePath: 'inbox/', createFilePath: true },
    ...{ overWrite: 'COMPARE_OVERWRITE', block: true, retryTimes: 5, retryInterval: 2 }
  },
  { type: 'EXECUTE_FILE', order: 1, filePath: 'bin/note.sh', arguments: [], block: true, timeout: 60 }
]

export async function startAgents({ account, mqttUrl, dataDir, atEnd }: Ground) {
  const plans = [
    { name: 'demo-server', role: 'SERVER' as const },
    { name: 'demo-store-1', role: 'STORE' as const },
    { name: 'demo-store-2', role: 'STORE' as const }
  ]
  const agents: Machine[] = []
  for (const plan of plans) {
    agents.push(await createMachine(account, { ...plan, mqttUrl, folder: join(dataDir, 'machines', plan.name) }))
  }
  const [server, ...stores] = agents as [Machine, ...Machine[]]
  const refile = () => {
    writeFileSync(join(server.root, '.release'), randomBytes(fileBytes))
    renameSync(join(server.root, '.release'), join(server.root, 'release.bin'))
  }
  refile()
  for (const { root } of stores) {
    writeFileSync(join(root, 'notes'), '')
    writeFileSync(join(root, 'bin', 'note.sh'), '#!/bin/sh\necho ran >> ../notes\nsleep 0.3\necho done\n', {
      mode: 0o755
    })
  }
  atEnd(() => Promise.all(agents.map((agent) => agent.stop())))
  for (const agent of agents) agent.start()
  await waitOnline(account.session, agents)
  return { agents, stores, refile }
}
