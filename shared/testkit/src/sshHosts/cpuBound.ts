import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

/** A bound on the processor time of one process and all that it starts, as a computer of its own has. */
export interface CpuBound {
  join(pid: number): void
  /** A core of the machine, or part of one; all of the machine's without. */
  set(cores: number | undefined): void
  /** When its processes have ended. */
  close(): void
}

const mounted = '/sys/fs/cgroup'
/** What the kernel itself takes. */
const periodUs = 100_000
const leastUs = 1_000

/** By a control group of version 1 or 2, the one of this number; undefined where none is ours to make. */
export function createCpuBound(group: string, index: number): CpuBound | undefined {
  try {
    const isSecond = existsSync(join(mounted, 'cgroup.controllers'))
    if (isSecond) writeFileSync(join(mounted, 'cgroup.subtree_control'), '+cpu')
    const folder = join(mounted, isSecond ? '' : 'cpu', `${group}-${index}`)
    mkdirSync(folder)
    const write = (file: string, value: string | number) => writeFileSync(join(folder, file), String(value))
    if (!isSecond) write('cpu.cfs_period_us', periodUs)
    return {
      join: (pid) => write('cgroup.procs', pid),
      set(cores) {
        const quota = cores === undefined ? undefined : Math.max(leastUs, Math.round(cores * periodUs))
        if (isSecond) write('cpu.max', `${quota ?? 'max'} ${periodUs}`)
        else write('cpu.cfs_quota_us', quota ?? -1)
        // Time is handed out to one processor, and what is left of it there is lost to programs that go on at another.
        const last = availableParallelism() - 1
        const processors = cores === undefined ? `0-${last}` : String(index % (last + 1))
        const pids = readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)
        for (const pid of pids) execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', processors, pid])
      },
      close: () => rmdirSync(folder)
    }
  } catch {
    return undefined
  }
}
