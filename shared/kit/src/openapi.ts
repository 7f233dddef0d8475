import type { Dialect, JsonSchema } from './dialects/dialect.js'
import type { Route } from './route.js'

export interface OpenApiOptions {
  service: string
  dialect: Dialect
  routes: readonly Route[]
}

/** The API reference of one dialect as an OpenAPI 3.1 document, printed from what the routes check. */
export function toOpenApi({ service, dialect, routes }: OpenApiOptions): JsonSchema {
  const schemas: Record<string, unknown> = { [`${dialect.name}.Error`]: dialect.errorSchema }
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    for (const path of [route.path, ...(route.aliases ?? [])]) {
      const key = toTemplate(path)
      paths[key] ??= {}
      paths[key][route.method] = operation(route, path, dialect, service)
    }
  }
  const document = {
    openapi: '3.1.0',
    info: { title: dialect.title, version: '1' },
    paths,
    components: { schemas, securitySchemes: dialect.securitySchemes }
  }
  // Through JSON: TypeBox marks schemas with symbols, and shared parts must not be changed by the hoisting.
  return hoist(JSON.parse(JSON.stringify(document)) as typeof document, service)
}

/** `/devices/:id` and `/routes/*topic` as `/devices/{id}` and `/routes/{topic}`. */
function toTemplate(path: string): string {
  return path.replace(/[{}]/g, '').replace(/[:*](\w+)/g, '{$1}')
}

function operation(route: Route, path: string, dialect: Dialect, service: string): JsonSchema {
  const isPublic = route.needs === 'public'
  return {
    operationId: `${route.method}${toTemplate(path).replace(/[^a-zA-Z0-9]+(.)?/g, (_, next = '') => next.toUpperCase())}`,
    summary: route.summary,
    tags: [service],
    description: describeNeeds(route),
    security: isPublic ? [] : Object.keys(dialect.securitySchemes).map((name) => ({ [name]: [] })),
    'x-needs': [route.needs].flat(),
    parameters: parametersOf(route, path),
    requestBody: bodyOf(route),
    responses: responsesOf(route, dialect, isPublic)
  }
}

function describeNeeds({ needs }: Route): string {
  if (needs === 'public') return 'Open to everybody.'
  if (needs === 'signedIn') return 'For every signed-in user.'
  return `Needs ${[needs].flat().join(' or ')}.`
}

function parametersOf(route: Route, path: string): JsonSchema[] {
  const declared = (route.params?.properties ?? {}) as Record<string, JsonSchema>
  const names = [...path.matchAll(/[:*](\w+)/g)].map((match) => match[1] as string)
  const inPath = names.map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: declared[name] ?? { type: 'string' }
  }))
  const query = (route.query?.properties ?? {}) as Record<string, JsonSchema>
  const required = new Set<string>((route.query?.required as string[] | undefined) ?? [])
  const inQuery = Object.entries(query).map(([name, schema]) => ({
    name,
    in: 'query',
    // A parameter with a default may be left out.
    required: required.has(name) && !('default' in schema),
    schema
  }))
  return [...inPath, ...inQuery]
}

function bodyOf({ body, form }: Route): JsonSchema | undefined {
  if (!body) return undefined
  const types = form ? ['application/json', 'application/x-www-form-urlencoded'] : ['application/json']
  return { required: true, content: Object.fromEntries(types.map((type) => [type, { schema: body }])) }
}

function responsesOf(route: Route, dialect: Dialect, isPublic: boolean): JsonSchema {
  const schema = dialect.envelopeSchema(route.reply as JsonSchema | undefined, route)
  const success = { description: 'Done', ...(schema ? { content: { 'application/json': { schema } } } : {}) }
  const failure = {
    description: 'Refused or failed',
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${dialect.name}.Error` } } }
  }
  const doors = isPublic
    ? {}
    : {
        [dialect.errors.unauthenticated[0]]: { ...failure, description: 'No valid token' },
        [dialect.errors.forbidden[0]]: { ...failure, description: 'Not allowed' }
      }
  return { [route.status ?? 200]: success, ...doors, default: failure }
}

interface Document extends JsonSchema {
  paths: unknown
  components: { schemas: Record<string, unknown> }
}

/** Schemas with an `$id` (recursive ones) move to the components, under a name that no other service has. */
function hoist(document: Document, service: string): JsonSchema {
  const { schemas } = document.components
  const nameOf = (id: string) => `${service}.${id.replace(/[^a-zA-Z0-9._-]/g, '_')}`

  function walk(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    const { $id, $ref, ...rest } = value as JsonSchema
    const walked = Object.fromEntries(Object.entries(rest).map(([key, part]) => [key, walk(part)]))
    if (typeof $id === 'string') schemas[nameOf($id)] = walked
    const target = typeof $id === 'string' ? $id : $ref
    if (typeof target !== 'string') return walked
    return { $ref: target.startsWith('#') ? target : `#/components/schemas/${nameOf(target)}` }
  }

  return { ...document, paths: walk(document.paths) }
}
