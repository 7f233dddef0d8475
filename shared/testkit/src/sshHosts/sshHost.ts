import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** A computer that is reached by SSH, for one test. */
export interface SshHost {
  readonly address: string
  readonly port: number
  readonly hostname: string
  /** What the host has of /etc, /var and the like, seen from outside. */
  readonly disk: string
  /** Runs a shell line on the host as its super user and answers what it printed. `$FLEETGATE_ROOT` stands before every path. */
  run(command: string): Promise<string>
  /** Names of the programs that run on it. */
  programs(): Promise<string[]>
  /** Every file on it, relative to its disk. */
  files(): string[]
  /** How many people and programs are logged in by SSH. */
  logins(): Promise<number>
  /** Breaks every SSH connection, and nothing else: what runs goes on, and one can log in again. */
  disconnect(): Promise<void>
  /** As if the plug was pulled. */
  kill(): Promise<void>
  /** Starts again with the disk it had; nothing that ran is running. */
  start(): Promise<void>
  /** From the next start on it shows another host key. */
  renewHostKey(): void
}

export interface SshHosts {
  /** Whether these are real OpenSSH servers in namespaces of their own. */
  readonly isReal: boolean
  readonly hosts: SshHost[]
  /** Where the hosts find this machine, and what a test serves there. */
  readonly ownAddress: string
  /** Opens `root` and `operator` on every host; `operator` has no sudo. */
  readonly privateKey: string
  readonly publicKey: string
  /** Password of `root` and of `operator`. */
  readonly password: string
  /** Gives each host so much of a core, however many there are, or again what the machine has. False where that cannot be. */
  boundCpu(cores?: number): boolean
}

export interface SshHostsOptions {
  count: number
  /** The disk of the host of this number holds so many megabytes below /var. */
  smallDisk?: { host: number; megabytes: number }
  /** Names the control groups of hosts that are to have processors of their own. */
  cpuGroup?: string
}

/** What a host is made of, whichever kind it is. */
export interface HostPlan {
  index: number
  dir: string
  authorizedKey: string
  password: string
  /** Where SSH listens, at the host's own address. */
  port: number
  /** Room below /var; 0 for what the machine has. */
  varMegabytes: number
}

export function listFiles(disk: string): string[] {
  const entries = readdirSync(disk, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(disk.length))
    .sort()
}
