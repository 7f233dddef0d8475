import type { Host } from '../clusters/cluster.js'
import type { HostRunner } from '../hosts/hostRunner.js'
import { sleep } from '../providers/backoff.js'
import { toProblem } from '../ssh/problem.js'
import type { Limits } from './machines.js'

export interface ConnectableOptions {
  host: Host
  runner: Pick<HostRunner, 'reach'>
  pollMs: number
  now: () => number
  limits: Limits
}

/** Waits until SSH lets us in: a machine that runs may still be starting its services, and the key comes after them. */
export async function connectable({ host, runner, pollMs, now, limits }: ConnectableOptions): Promise<void> {
  for (;;) {
    limits.signal.throwIfAborted()
    try {
      return await runner.reach(host)
    } catch (error) {
      const problem = toProblem(error, host.ip)
      if (problem.kind === 'host_key' || now() > limits.until) throw problem
      await sleep(pollMs, limits.signal)
    }
  }
}
