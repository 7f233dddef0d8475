import { createHash } from 'node:crypto'

/**
 * Names the cast of one BROADCAST step in one run: a level of a topic that nobody guesses (the run's id is random), and
 * that shows by its second part whose it is.
 */
export function castIdOf({ tenantId, runId, scriptId }: { tenantId: string; runId: string; scriptId: number }): string {
  const token = digest(`${runId}/${scriptId}`).slice(0, 32)
  return `${token}-${markOf(tenantId, token)}`
}

/** Whether it is a cast of this tenant: where tenants share one space of topics, nothing else keeps them apart. */
export function isCastOf(tenantId: string, castId: string): boolean {
  const [, token, mark] = /^([0-9a-f]{32})-([0-9a-f]{16})$/.exec(castId) ?? []
  return token !== undefined && mark === markOf(tenantId, token)
}

function markOf(tenantId: string, token: string): string {
  return digest(`${tenantId}/${token}`).slice(0, 16)
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
