import type { DialectName, ServiceName } from '@fleetgate/contracts'
import { replicasOf } from '../proxy/balance.js'
import { type Json, merge, servicesOf } from './documents.js'

const keepMs = 10_000
const limitMs = 2000

/** The merged documents, asked of the services at most every ten seconds whoever asks here. */
export function createDocuments(services: Record<ServiceName, string>): (dialect: DialectName) => Promise<Json> {
  const kept = new Map<DialectName, { at: number; document: Promise<Json> }>()

  async function collect(dialect: DialectName): Promise<Json> {
    const parts = servicesOf(dialect).map(async (service) => ({
      service,
      document: await fetchFirst(replicasOf(services[service]), `/openapi/${dialect}.json`)
    }))
    return merge(dialect, await Promise.all(parts))
  }

  return (dialect) => {
    const known = kept.get(dialect)
    const at = performance.now()
    if (known && at - known.at < keepMs) return known.document
    const document = collect(dialect)
    kept.set(dialect, { at, document })
    return document
  }
}

/** All replicas print the same. */
async function fetchFirst(urls: readonly string[], path: string): Promise<Json | undefined> {
  for (const url of urls) {
    const document = await fetchDocument(new URL(path, url))
    if (document) return document
  }
  return undefined
}

async function fetchDocument(url: URL): Promise<Json | undefined> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(limitMs) })
    return answer.ok ? ((await answer.json()) as Json) : undefined
  } catch {
    return undefined
  }
}
