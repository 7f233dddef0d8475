import { existsSync, readdirSync } from 'node:fs'
import { checkManifest, type Handlers, type Integration, type IntegrationTools } from './manifest.js'

export interface Registry {
  find(id: string): Integration | undefined
  /** In order of their ids. */
  readonly all: readonly Integration[]
}

interface ManifestModule {
  manifest?: unknown
}

interface HandlersModule {
  createHandlers?: (tools: IntegrationTools) => Handlers
}

/**
 * Every folder within this one, by default that of this file, is an integration: `manifest.js` exports `manifest`, and `handlers.js`, where there is one,
 * `createHandlers`.
 */
export async function loadIntegrations(
  tools: (integration: string) => IntegrationTools,
  here = new URL('./', import.meta.url)
): Promise<Registry> {
  const folders = readdirSync(here, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const all: Integration[] = []
  for (const name of folders.map((entry) => entry.name).sort()) {
    const { manifest } = (await import(new URL(`${name}/manifest.js`, here).href)) as ManifestModule
    all.push({
      manifest: checkManifest(name, manifest),
      handlers: await loadHandlers(new URL(`${name}/`, here), tools(name))
    })
  }
  return createRegistry(all)
}

async function loadHandlers(folder: URL, tools: IntegrationTools): Promise<Handlers> {
  const file = new URL('handlers.js', folder)
  if (!existsSync(file)) return {}
  const { createHandlers } = (await import(file.href)) as HandlersModule
  if (!createHandlers) throw new Error(`${file.pathname} exports no createHandlers`)
  return createHandlers(tools)
}

export function createRegistry(all: Integration[]): Registry {
  const byId = new Map(all.map((integration) => [integration.manifest.id, integration]))
  return { all, find: (id) => byId.get(id) }
}

/** Ids of those whose names hold the text; none for an empty one. */
export function integrationsNamed({ all }: Registry, keyword: string | undefined): string[] {
  if (!keyword) return []
  const text = keyword.toLowerCase()
  return all.filter(({ manifest }) => manifest.name.toLowerCase().includes(text)).map(({ manifest }) => manifest.id)
}
