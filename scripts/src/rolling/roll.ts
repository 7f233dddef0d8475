import type { Stack } from '@fleetgate/local'
import { until } from '@fleetgate/testkit'

const deadlineMs = 60_000

/** Every process of which there are several, in the order in which they are restarted. */
export function replicasToRoll(stack: Stack): string[] {
  const names = stack.processes().map(({ name }) => name)
  return names.filter((name) => names.includes(`${name}-2`) || /-\d+$/.test(name))
}

/** Ends one replica gracefully and waits until its successor serves and the gateway gives it requests. */
export async function restartReplica(stack: Stack, name: string): Promise<void> {
  const before = pidOf(stack, name)
  stack.kill(name, 'SIGTERM')
  await until(() => isNew(pidOf(stack, name), before), { what: `${name} to be started again`, deadlineMs })
  await stack.ready()
  await until(() => allTakePart(stack.url), { what: `the gateway to let ${name} back in`, deadlineMs, everyMs: 50 })
}

function pidOf(stack: Stack, name: string): number | undefined {
  return stack.processes().find((one) => one.name === name)?.pid
}

function isNew(pid: number | undefined, before: number | undefined): boolean {
  return pid !== undefined && pid !== before
}

async function allTakePart(url: string): Promise<boolean> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith('gateway_upstream_replicas_out{'))
  return lines.length > 0 && lines.every((line) => line.endsWith(' 0'))
}
