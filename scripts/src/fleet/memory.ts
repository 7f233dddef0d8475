import { readFileSync, writeFileSync } from 'node:fs'

export interface Memory {
  name: string
  pid: number
  /** Resident set: pages in memory, shared ones counted in each process. */
  rss: number
  /** Proportional set: shared pages divided among those who share them. */
  pss: number
}

/** Bytes of each process, from /proc; processes that are gone are left out. */
export function memoryOf(processes: { name: string; pid?: number | undefined }[]): Memory[] {
  return processes.flatMap(({ name, pid }) => {
    if (pid === undefined) return []
    const text = readText(`/proc/${pid}/smaps_rollup`)
    return text === undefined ? [] : [{ name, pid, rss: field(text, 'Rss'), pss: field(text, 'Pss') }]
  })
}

/** From here on the process's highest resident set is counted anew. */
export function resetPeak(pid: number | undefined): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** The highest resident set since then, in bytes. */
export function peakOf(pid: number | undefined): number {
  return field(readText(`/proc/${pid}/status`) ?? '', 'VmHWM')
}

export function megabytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0)
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
