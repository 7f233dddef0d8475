type Schema = Record<string, unknown>

/** The smallest value that a JSON Schema of ours lets through, as far as that can be told without searching. */
export function sample(schema: Schema): unknown {
  if (schema.default !== undefined) return schema.default
  if (schema.const !== undefined) return schema.const
  if (Array.isArray(schema.enum)) return schema.enum[0]
  const [variant] = ((schema.anyOf ?? schema.oneOf ?? schema.allOf) as Schema[] | undefined) ?? []
  if (variant) return sample(variant)
  switch (schema.type) {
    case 'object':
      return sampleObject(schema)
    case 'array':
      return Array.from({ length: Number(schema.minItems ?? 0) }, () => sample((schema.items ?? {}) as Schema))
    case 'integer':
    case 'number':
      return Math.max(1, Number(schema.minimum ?? 1))
    case 'boolean':
      return true
    default:
      return 'Abcd1234!'.slice(0, Number(schema.maxLength ?? 9))
  }
}

function sampleObject(schema: Schema): Record<string, unknown> {
  const properties = (schema.properties ?? {}) as Record<string, Schema>
  const required = (schema.required ?? []) as string[]
  return Object.fromEntries(required.map((name) => [name, sample(properties[name] ?? {})]))
}
