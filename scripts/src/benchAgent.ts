import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Account, logIn } from './demo/account.js'
import { createJob, makeLoad } from './demo/job.js'
import { createMachine, type Machine, waitOnline } from './demo/machines.js'
import { toTable } from './demo/table.js'
import { follow } from './demo/watch.js'
import { makeAgentBundle } from './fleet/agentBundle.js'
import { megabytes, memoryOf, peakOf, resetPeak } from './fleet/memory.js'
import { withStack } from './fleet/withStack.js'

/**
 * What the agent weighs on its machine: the bundle as the unit starts it, idle, during and right after a job with a 20 MB file
 * and a program, and when it has been idle again. Usage: scripts/bench/agent
 */
const fileBytes = 20 * 1024 * 1024
const settleMs = 10_000

await withStack(async (stack, dataDir) => {
  const say = (line: string) => console.log(line)
  const account = await logIn(stack.url, { dataDir, say })
  const agent = makeAgentBundle(dataDir)
  const create = (name: string, role: Machine['role']) => {
    const folder = join(dataDir, 'demo', name)
    mkdirSync(folder, { recursive: true })
    return createMachine(account, { name, role, folder, mqttUrl: stack.mqttUrl, agent })
  }
  const machines = [await create('demo-server', 'SERVER'), await create('demo-store', 'STORE')] as [Machine, Machine]
  try {
    for (const machine of machines) machine.start()
    await waitOnline(account.session, machines)
    await measure(account, machines)
  } finally {
    await Promise.all(machines.map((machine) => machine.stop()))
  }
})

async function measure({ session }: Account, [server, store]: [Machine, Machine]): Promise<void> {
  const rows: string[][] = []
  const note = (moment: string) => {
    const both = [server, store].map((machine) => ({ name: machine.role, pid: machine.pid() }))
    for (const { name, rss, pss } of memoryOf(both)) rows.push([moment, name, megabytes(rss), megabytes(pss)])
  }
  await delay(settleMs)
  note('idle')
  for (const machine of [server, store]) resetPeak(machine.pid())
  const watched = await createJob(session, [store], makeLoad(server, [store], fileBytes, 0))
  await session.get(`/v1/jobs/${watched.jobId}/run`)
  await follow(session, watched, { machines: 1, deadlineMs: 120_000, show: () => {} })
  for (const { role, pid } of [server, store]) rows.push(['most of it, meanwhile', role, megabytes(peakOf(pid())), ''])
  note('after a job with 20 MB')
  await delay(settleMs)
  note(`${settleMs / 1000} s later`)
  for (const line of toTable(['moment', 'role', 'RSS MB', 'PSS MB'], rows)) console.log(line)
  console.log('PSS counts what the processes of one machine share (the node binary above all) once.')
}
