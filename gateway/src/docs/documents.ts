import { type DialectName, prefixRules, ruleOf, type ServiceName } from '@fleetgate/contracts'
import { dialects } from '@fleetgate/kit'

export type Json = Record<string, unknown>

/** What one service prints at /openapi/{dialect}.json, or nothing when it could not be had. */
export interface Part {
  service: ServiceName
  document: Json | undefined
}

/** The services that serve some path of a dialect, in the order of the routing table. */
export function servicesOf(dialect: DialectName): ServiceName[] {
  return [...new Set(prefixRules.filter((rule) => rule.dialect === dialect).map((rule) => rule.service))]
}

/**
 * One OpenAPI document of a dialect from those of its services. Only paths that the gateway really sends to the service
 * that prints them are kept. Component names are the services' own affair: they carry the service's name.
 */
export function merge(dialect: DialectName, parts: readonly Part[]): Json {
  const present = parts.filter((part) => part.document !== undefined)
  return {
    openapi: '3.1.0',
    info: { title: dialects[dialect].title, version: '1', description: describe(dialect, parts) },
    servers: [{ url: '/' }],
    tags: present.map(({ service }) => ({ name: service })),
    paths: Object.assign({}, ...present.map((part) => pathsOf(dialect, part))),
    components: {
      schemas: Object.assign({}, ...present.map(({ document }) => section(document, 'components', 'schemas'))),
      securitySchemes: Object.assign(
        {},
        ...present.map(({ document }) => section(document, 'components', 'securitySchemes'))
      )
    }
  }
}

function pathsOf(dialect: DialectName, { service, document }: Part): Json {
  const reachable = Object.entries(section(document, 'paths')).filter(([path]) => {
    const rule = ruleOf(path)
    return rule?.service === service && rule.dialect === dialect
  })
  return Object.fromEntries(reachable)
}

/** A part of a document that another process wrote: anything but an object counts as empty. */
function section(document: unknown, ...keys: string[]): Json {
  let value = document
  for (const key of keys) value = isObject(value) ? value[key] : undefined
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function describe(dialect: DialectName, parts: readonly Part[]): string {
  const missing = parts.filter((part) => part.document === undefined).map((part) => part.service)
  const alias = dialect === 'beaver' ? ['Every path also answers under `/api/v1`.'] : []
  const gap = missing.length > 0 ? [`Missing here, because it does not answer: ${missing.join(', ')}.`] : []
  return [...alias, ...gap].join(' ')
}
