import { readdir, readFile } from 'node:fs/promises'
import type { Candidate } from './candidates.js'
import { findGenerator } from './generators.js'

export interface Load {
  perSecond: number
  p50: number
  p99: number
  /** CPU of the proxy for one request, microseconds. */
  cpuMicros: number | undefined
  backendMicros: number
  bytes: number
}

export interface Question {
  path: string
  token: string
  backendPid: number
  seconds: number
  connections: number
}

export const generator = findGenerator()

/** Loads one candidate from a process of its own and reads what that cost the others. */
export async function measure(candidate: Candidate, question: Question): Promise<Load> {
  const { path, token, backendPid, seconds, connections } = question
  const url = candidate.url + path
  const authorization = `Bearer ${token}`
  const sample = await fetch(url, { headers: { authorization } })
  const bytes = (await sample.arrayBuffer()).byteLength
  const before = await Promise.all([cpuOf(candidate.pid), cpuOf(backendPid)])
  const { good, bad, p50, p99 } = await generator.shoot({ url, authorization, connections, seconds })
  const after = await Promise.all([cpuOf(candidate.pid), cpuOf(backendPid)])
  if (bad > 0 || good === 0) throw new Error(`${candidate.name}: ${good} good answers and ${bad} others`)
  const each = (index: 0 | 1) => (after[index] - before[index]) / good
  return {
    perSecond: good / seconds,
    p50,
    p99,
    cpuMicros: candidate.pid === undefined ? undefined : each(0),
    backendMicros: each(1),
    bytes
  }
}

const microsPerTick = 10_000

/** User and system time of a process and its children so far, microseconds (Linux counts in ticks of 10 ms). */
async function cpuOf(pid: number | undefined): Promise<number> {
  if (pid === undefined) return 0
  let ticks = 0
  for (const member of await treeOf(pid)) {
    const fields = await statOf(member)
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks * microsPerTick
}

async function treeOf(root: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const parents = new Map<number, number>()
  for (const pid of pids) parents.set(pid, Number((await statOf(pid))[1] ?? 0))
  const isBelow = (pid: number): boolean =>
    pid === root || (parents.get(pid) ? isBelow(parents.get(pid) as number) : false)
  return pids.filter(isBelow)
}

/** The fields after the command name, which may hold blanks itself; none of a process that has gone. */
async function statOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}
