import { compile, type TSchema } from '@fleetgate/kit'

export type Schema = Record<string, unknown>
/** The value for a field, by the names that lead to it; undefined: whatever its schema lets through. */
export type WishFor = (path: readonly string[]) => unknown

const none: WishFor = () => undefined
/** Texts of every form that our schemas ask for. */
const texts = [
  'Abcd1234!',
  'abcd1234',
  '1',
  'someone@example.com',
  '127.0.9.9',
  'a',
  '',
  '0'.repeat(24),
  '0'.repeat(64)
]

/**
 * The smallest value that a JSON Schema of ours lets through, as far as that can be told without searching. Optional fields and
 * empty lists are filled where `wishFor` has something for them.
 */
export function sample(schema: Schema, wishFor: WishFor = none, path: readonly string[] = []): unknown {
  const wanted = wishFor(path)
  if (wanted !== undefined) return isArray(schema) && !Array.isArray(wanted) ? [wanted] : wanted
  if (isArray(schema) && hasWanted(schema.items as Schema, wishFor, path)) return sampleArray(schema, wishFor, path, 1)
  if (schema.default !== undefined) return schema.default
  if (schema.const !== undefined) return schema.const
  if (Array.isArray(schema.enum)) return schema.enum[0]
  const [variant] = ((schema.anyOf ?? schema.oneOf ?? schema.allOf) as Schema[] | undefined) ?? []
  if (variant) return sample(variant, wishFor, path)
  switch (typeOf(schema)) {
    case 'object':
      return sampleObject(schema, wishFor, path)
    case 'array':
      return sampleArray(schema, wishFor, path, 0)
    case 'integer':
    case 'number':
      return Math.max(1, Number(schema.minimum ?? 1))
    case 'boolean':
      return true
    default:
      return texts.find((text) => passes(schema, text)) ?? 'Abcd1234!'
  }
}

/** To compile one takes longer than all else that is done with it, and the same ones are asked for again and again. */
const checks = new Map<string, (value: unknown) => unknown>()

/** Whether a value is what a schema asks for; what it says of components of its document is passed over. */
export function passes(schema: Schema, value: unknown): boolean {
  const own = JSON.stringify(schema, (_, part) => (part?.$ref ? {} : part))
  try {
    const check = checks.get(own) ?? compile(JSON.parse(own) as TSchema)
    checks.set(own, check)
    check(structuredClone(value))
    return true
  } catch {
    return false
  }
}

function typeOf({ type }: Schema): unknown {
  return Array.isArray(type) ? type[0] : type
}

function isArray(schema: Schema): boolean {
  return typeOf(schema) === 'array'
}

function sampleArray(schema: Schema, wishFor: WishFor, path: readonly string[], least: number): unknown[] {
  const length = Math.max(least, Number(schema.minItems ?? 0))
  return Array.from({ length }, () => sample((schema.items ?? {}) as Schema, wishFor, path))
}

function sampleObject(schema: Schema, wishFor: WishFor, path: readonly string[]): Record<string, unknown> {
  const properties = (schema.properties ?? {}) as Record<string, Schema>
  const required = new Set((schema.required ?? []) as string[])
  const held = Object.entries(properties).filter(
    ([name, inner]) => required.has(name) || hasWanted(inner, wishFor, [...path, name])
  )
  return Object.fromEntries(held.map(([name, inner]) => [name, sample(inner, wishFor, [...path, name])]))
}

function hasWanted(schema: Schema | undefined, wishFor: WishFor, path: readonly string[]): boolean {
  if (wishFor === none || !schema) return false
  if (wishFor(path) !== undefined) return true
  if (isArray(schema)) return hasWanted(schema.items as Schema, wishFor, path)
  const properties = (schema.properties ?? {}) as Record<string, Schema>
  return Object.entries(properties).some(([name, inner]) => hasWanted(inner, wishFor, [...path, name]))
}
