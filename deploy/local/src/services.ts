import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serviceNames } from '@fleetgate/contracts'
import type { Member } from './crew.js'
import { answers } from './part.js'

/** The processes of a whole stack beside its parts. */
export const stackServices = [...serviceNames, 'gateway'] as const
export type StackService = (typeof stackServices)[number]

/** The root of the checkout, from `deploy/local/dist/src`. */
export const workspaceRoot = fileURLToPath(new URL('../../../../', import.meta.url))

const preload = new URL('./endWithParent.js', import.meta.url)
export const preloadFile = fileURLToPath(preload)

/** The compiled program of a service. */
export function mainFile(service: string): string {
  const folder = service === 'gateway' ? service : join('services', service)
  return join(workspaceRoot, folder, 'dist/src/main.js')
}

export function checkBuilt(files: readonly string[]): void {
  const missing = files.filter((file) => !existsSync(file))
  if (missing.length > 0) throw new Error(`not built yet, run ./scripts/up or "pnpm build": ${missing.join(', ')}`)
}

/** `BROKER_PROXY_URL` and the like. */
export function variableOf(service: string, ending: 'URL' | 'PORT'): string {
  return `${service.replaceAll('-', '_').toUpperCase()}_${ending}`
}

/** Process of the n-th replica of a service, counted from 1: `auth`, `auth-2`. */
export function replicaName(service: string, replica: number): string {
  return replica === 1 ? service : `${service}-${replica}`
}

/** One door, and one embedded broker: it keeps its sessions in its own memory. The rest runs as often as one likes. */
export function replicasOf(service: StackService, wanted: number, env: NodeJS.ProcessEnv): number {
  const isSingle = service === 'gateway' || (service === 'broker-proxy' && !usesEmqx(env))
  return isSingle ? 1 : wanted
}

/** An EMQX in place of the embedded broker. */
export function usesEmqx(env: NodeJS.ProcessEnv): boolean {
  return env.BROKER === 'emqx'
}

export interface ServiceProgram {
  name: string
  file: string
  url: string
  env: NodeJS.ProcessEnv
}

/**
 * What a process may keep, in MB. Without a bound that fits, V8 takes a quarter of the machine's memory for its own and
 * collects so rarely that garbage is most of a process (measured with 10,000 machines: 380 MB at most against 217).
 */
const defaultHeapMb = 512
/** Room for the objects of a whole batch of messages, so that they are not taken for old ones (16 MB by default: a tenth less). */
const youngMb = 32

/** A service as a process to supervise: it ends when we do, and serves when its `/readyz` says so. */
export function serviceMember({ name, file, url, env }: ServiceProgram): Member {
  const heap = [`--max-old-space-size=${heapMb(env)}`, `--max-semi-space-size=${youngMb}`]
  const args = [...heap, '--import', preload.href, file]
  return {
    program: { name, command: process.execPath, args, env, endsWithParent: true },
    isReady: () => isServing(url)
  }
}

/** `HEAP_MB`, or the default. */
function heapMb({ HEAP_MB: wanted }: NodeJS.ProcessEnv): number {
  const megabytes = Number(wanted || defaultHeapMb)
  if (!Number.isInteger(megabytes) || megabytes < 64)
    throw new Error(`HEAP_MB takes a number from 64 on, not ${wanted}`)
  return megabytes
}

const answerWithinMs = 2000

/**
 * True when `/readyz` answers 200. Until the port is open only that is looked at: most looks come before, and a request costs
 * ten times as much.
 */
export async function isServing(url: string): Promise<boolean> {
  try {
    const { hostname: host, port } = new URL(url)
    if (!(await answers({ host, port: Number(port) }))) return false
    const reply = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(answerWithinMs) })
    await reply.arrayBuffer()
    return reply.ok
  } catch {
    return false
  }
}
