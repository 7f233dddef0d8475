import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '@fleetgate/testkit'
import { type Account, logIn } from './account.js'
import { wreak } from './chaos.js'
import { bodyOf } from './client.js'
import { createJob, makeLoad } from './job.js'
import { createMachine, type Machine, waitOnline } from './machines.js'
import type { DemoOptions } from './options.js'
import { findOrStart, type RunningStack } from './stack.js'
import { resultTable } from './table.js'
import { faultsOf } from './verify.js'
import { createProgress, follow, type MachineResult, resultsOf } from './watch.js'

export interface DemoResult {
  results: MachineResult[]
  /** What is not as it must be; empty if all is right. */
  faults: string[]
  /** What was killed while the job ran. */
  killed: string[]
}

export interface Demo {
  /** The main job from end to end; rejects if it cannot be brought to an end at all. */
  run(): Promise<DemoResult>
  /** Ends what this demo has started. */
  stop(): Promise<void>
}

export function createDemo(options: DemoOptions): Demo {
  const opened: (() => Promise<unknown>)[] = []

  async function run(): Promise<DemoResult> {
    const stack = await findOrStart(options)
    opened.push(stack.stop)
    const account = await logIn(stack.url, options)
    const { server, stores } = await createFleet(account, stack, options)
    const machines = [server, ...stores]
    opened.push(() => Promise.all(machines.map((machine) => machine.stop())))
    for (const machine of machines) machine.start()
    await waitOnline(account.session, machines)
    options.say(`1 SERVER and ${stores.length} STORE machines are online`)
    return runJob({ account, stack, server, stores, options })
  }

  return {
    run,
    stop: async () => {
      for (const close of opened.splice(0).reverse()) await close()
    }
  }
}

/** Runs a demo to its end; what it has started runs until `stop`. */
export async function runDemo(options: DemoOptions): Promise<{ result: DemoResult; stop: () => Promise<void> }> {
  const demo = createDemo(options)
  try {
    return { result: await demo.run(), stop: demo.stop }
  } catch (error) {
    await demo.stop()
    throw error
  }
}

async function createFleet(account: Account, stack: RunningStack, { dataDir, stores }: DemoOptions) {
  const create = (name: string, role: Machine['role']) => {
    const folder = join(dataDir, 'demo', name)
    mkdirSync(folder, { recursive: true })
    return createMachine(account, { name, role, folder, mqttUrl: stack.mqttUrl })
  }
  const server = await create('demo-server', 'SERVER')
  const all: Machine[] = []
  for (let number = 1; number <= stores; number += 1) all.push(await create(`demo-store-${number}`, 'STORE'))
  return { server, stores: all }
}

interface JobParts {
  account: Account
  stack: RunningStack
  server: Machine
  stores: Machine[]
  options: DemoOptions
}

async function runJob({ account, stack, server, stores, options }: JobParts): Promise<DemoResult> {
  const { session } = account
  const { say, chaos } = options
  // Under chaos the programs take their time, so that kills land in the middle of them.
  const load = makeLoad(server, stores, options.bytes, chaos ? 2 : 0)
  const watched = await createJob(session, stores, load)
  say(`Job ${watched.jobId}: send ${load.bytes.length} bytes to ${stores.length} machines, and run a program on each`)
  const begun = Date.now()
  bodyOf(await session.get(`/v1/jobs/${watched.jobId}/run`), 'running the job')
  const progress = createProgress(say)
  let isOver = false
  const names = stack.processes().map(({ name }) => name)
  const wreaking = chaos
    ? wreak({ names, kill: stack.kill, server, stores, isOver: () => isOver, say })
    : Promise.resolve([])
  const limits = { machines: stores.length, deadlineMs: chaos ? 180_000 : 120_000, show: progress.show }
  await follow(session, watched, limits).finally(() => {
    isOver = true
    progress.end()
  })
  const seconds = ((Date.now() - begun) / 1000).toFixed(1)
  const killed = await wreaking
  if (chaos)
    await until(async () => (await session.get('/v1/jobs?pageNo=1&pageSize=1')).status === 200, {
      what: 'the gateway',
      deadlineMs: 60_000
    })
  const results = await resultsOf(session, watched)
  for (const line of ['', ...resultTable(results), '']) say(line)
  say(`The job took ${seconds} s`)
  return { results, killed, faults: faultsOf(stores, results, load) }
}
