import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServiceName } from '@fleetgate/contracts'
import { createUpstream, type Upstream, type UpstreamOptions } from './upstream.js'

export interface BalanceOptions extends Omit<UpstreamOptions, 'url' | 'onEnding' | 'elsewhere'> {
  /** Base URLs of the replicas. */
  urls: readonly string[]
  /** A replica was left out or let back in; `out` of them are out now. */
  onOut(url: string, isOut: boolean, out: number): void
}

/** One setting lists the replicas of a service, separated by commas. */
export function replicasOf(setting: string): string[] {
  return setting.split(',').map((url) => url.trim())
}

const lookEveryMs = 500
const lookWithinMs = 2000

interface Replica {
  url: string
  upstream: Upstream
  /** `performance.now()` when it was last seen to be ending or dead; undefined while it takes part. */
  outSince: number | undefined
}

/**
 * Gives the requests for a service to its replicas in turn. One that refuses connections, or says by `Connection: close`
 * that it is ending, is left out at once; a look at /readyz twice a second finds the ones that nobody asked meanwhile, and
 * lets them back in. Where all are out, the one that is so for longest is tried: it may be back by now.
 */
export function createBalance(options: BalanceOptions): Omit<Upstream, 'again' | 'isFull'> {
  const replicas: Replica[] = options.urls.map((url) => ({ url, upstream: upstreamOf(url), outSince: undefined }))
  let turn = 0

  function upstreamOf(url: string): Upstream {
    return createUpstream({
      ...options,
      url,
      onEnding: () => leaveOut(url),
      elsewhere: () => (replicas.length > 1 ? next(url).upstream : undefined)
    })
  }

  function leaveOut(url: string): void {
    const replica = replicas.find((one) => one.url === url)
    if (!replica || replicas.length === 1) return
    const isNew = replica.outSince === undefined
    replica.outSince = performance.now()
    if (isNew) options.onOut(url, true, countOut())
  }

  function countOut(): number {
    return replicas.filter(({ outSince }) => outSince !== undefined).length
  }

  /** Whose turn it is, past those that are out or let too many wait, and past this one. */
  function next(except?: string): Replica {
    turn = (turn + 1) % replicas.length
    for (let step = 0; step < replicas.length; step++) {
      const replica = replicas[(turn + step) % replicas.length] as Replica
      if (replica.outSince === undefined && replica.url !== except && !replica.upstream.isFull()) return replica
    }
    const others = replicas.filter(({ url }) => url !== except)
    return others.reduce((longest, one) => ((one.outSince ?? 0) < (longest.outSince ?? 0) ? one : longest))
  }

  async function look(replica: Replica): Promise<void> {
    const startedAt = performance.now()
    const state = await askReady(replica.url)
    if (state === 'ending') leaveOut(replica.url)
    // What was seen since the question is newer than its answer.
    if (state !== 'ready' || replica.outSince === undefined || replica.outSince > startedAt) return
    replica.outSince = undefined
    options.onOut(replica.url, false, countOut())
  }

  const timer =
    replicas.length > 1 ? setInterval(() => replicas.forEach((one) => void look(one)), lookEveryMs) : undefined
  timer?.unref()

  return {
    forward: (req: IncomingMessage, res: ServerResponse) => pick().forward(req, res),
    upgrade: (req, socket, head) => pick().upgrade(req, socket, head),
    close() {
      clearInterval(timer)
      for (const { upstream } of replicas) upstream.close()
    }
  }

  function pick(): Upstream {
    return (replicas.length === 1 ? (replicas[0] as Replica) : next()).upstream
  }
}

/** Silence tells nothing: a busy replica is no dead one. */
async function askReady(url: string): Promise<'ready' | 'ending' | 'unknown'> {
  try {
    const answer = await fetch(new URL('/readyz', url), { signal: AbortSignal.timeout(lookWithinMs) })
    await answer.body?.cancel()
    return answer.ok ? 'ready' : 'ending'
  } catch (error) {
    return (error as Error).name === 'TimeoutError' ? 'unknown' : 'ending'
  }
}

/** True where any replica of the setting answers. */
export async function anyReplica(setting: string, ask: (url: string) => Promise<boolean>): Promise<boolean> {
  const answers = await Promise.all(replicasOf(setting).map(ask))
  return answers.includes(true)
}

export type Balanced = Record<ServiceName, ReturnType<typeof createBalance>>
