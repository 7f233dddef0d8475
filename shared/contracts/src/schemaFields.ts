import type { TSchema } from './schema.js'

interface Plain {
  $id?: string
  $ref?: string
  type?: string
  enum?: unknown[]
  items?: Plain
  properties?: Record<string, Plain>
  patternProperties?: Record<string, Plain>
  required?: string[]
  default?: unknown
  pattern?: string
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  description?: string
}

const bounds = ['minimum', 'maximum', 'minLength', 'maxLength', 'minItems', 'maxItems', 'pattern', 'default'] as const

/** A list of an object schema's fields, nested ones by their path (`targets[].clientId`); `?` marks the optional. */
export function describeFields(schema: TSchema): string {
  return linesOf(schema as Plain, '').join('\n') || 'No fields.'
}

function linesOf(schema: Plain, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const mark = schema.required?.includes(name) ? '' : '?'
    const line = [`- \`${path}${name}${mark}\` ${typeOf(field)}`, ...notesOf(field)].join('; ')
    return [line, ...linesOf(field.items ?? field, `${path}${name}${field.items ? '[]' : ''}.`)]
  })
}

function typeOf(field: Plain): string {
  if (field.enum) return field.enum.map((value) => `\`${value}\``).join(', ')
  if (field.$ref) return field.$ref
  if (field.items) return `${field.items.properties ? (field.items.$id ?? 'object') : typeOf(field.items)}[]`
  if (field.patternProperties) return `map of ${Object.values(field.patternProperties).map(typeOf).join()}`
  return field.$id ?? field.type ?? 'any'
}

function notesOf(field: Plain): string[] {
  const limits = bounds.flatMap((key) => (field[key] === undefined ? [] : [`${key} \`${JSON.stringify(field[key])}\``]))
  return [...(field.description ? [field.description] : []), ...limits]
}
