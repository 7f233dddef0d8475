import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A bound on the processor time of one process and all that it starts, as a computer of its own has. */
export interface CpuBound {
  join(pid: number): void
  /** Cores, or parts of one; all of the machine's without. */
  set(cores: number | undefined): void
  /** When its processes have ended. */
  close(): void
}

const mounted = '/sys/fs/cgroup'
/** What the kernel itself takes. With shorter ones a part of each is lost where a host moves between processors. */
const periodUs = 100_000
const leastUs = 1_000

/** By a control group of version 1 or 2; undefined where none is ours to make. */
export function createCpuBound(name: string): CpuBound | undefined {
  try {
    const isSecond = existsSync(join(mounted, 'cgroup.controllers'))
    if (isSecond) writeFileSync(join(mounted, 'cgroup.subtree_control'), '+cpu')
    const folder = join(mounted, isSecond ? '' : 'cpu', name)
    mkdirSync(folder)
    const write = (file: string, value: string | number) => writeFileSync(join(folder, file), String(value))
    if (!isSecond) write('cpu.cfs_period_us', periodUs)
    return {
      join: (pid) => write('cgroup.procs', pid),
      set(cores) {
        const quota = cores === undefined ? undefined : Math.max(leastUs, Math.round(cores * periodUs))
        if (isSecond) write('cpu.max', `${quota ?? 'max'} ${periodUs}`)
        else write('cpu.cfs_quota_us', quota ?? -1)
      },
      close: () => rmdirSync(folder)
    }
  } catch {
    return undefined
  }
}
