import type { ServerResponse } from 'node:http'
import type { Metrics } from './metrics.js'
import type { KitRequest } from './server.js'

export type Checks = Record<string, () => boolean | Promise<boolean>>

export interface HealthOptions {
  checks: Checks
  metrics: Metrics
  isDraining: () => boolean
  /** Further documents by path, made when first asked for. */
  documents: ReadonlyMap<string, () => unknown>
}

/** Answers /healthz, /readyz, /metrics and /openapi/…; false for every other path. */
export type HealthAnswer = (request: KitRequest, response: ServerResponse) => boolean

const checkLimitMs = 2000

export function createHealth({ checks, metrics, isDraining, documents }: HealthOptions): HealthAnswer {
  const answers = new Map<string, () => Promise<[status: number, type: string, body: string]>>()
  const json = (status: number, value: unknown) => [status, 'application/json', JSON.stringify(value)] as const
  answers.set('/healthz', async () => [...json(200, { status: 'ok' })])
  answers.set('/readyz', async () => {
    const failing = isDraining() ? ['shutdown'] : await failingOf(checks)
    return failing.length === 0 ? [...json(200, { status: 'ready' })] : [...json(503, { status: 'not ready', failing })]
  })
  answers.set('/metrics', async () => [200, metrics.registry.contentType, await metrics.registry.metrics()])
  for (const [path, make] of documents) answers.set(path, async () => [...json(200, make())])

  return (request, response) => {
    const { url = '' } = request
    const query = url.indexOf('?')
    const answer = answers.get(query < 0 ? url : url.slice(0, query))
    if (!answer || (request.method !== 'GET' && request.method !== 'HEAD')) return false
    answer()
      .then(([status, type, body]) => response.writeHead(status, { 'content-type': type }).end(body))
      .catch(() => response.writeHead(500).end())
    return true
  }
}

async function failingOf(checks: Checks): Promise<string[]> {
  const names = Object.keys(checks)
  const passed = await Promise.all(names.map((name) => passes(checks[name] as () => boolean | Promise<boolean>)))
  return names.filter((_, index) => !passed[index])
}

async function passes(check: () => boolean | Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), checkLimitMs)
  })
  try {
    return await Promise.race([check(), late])
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
}
