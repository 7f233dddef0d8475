import type { TSchema } from '@sinclair/typebox'
import standalone from 'ajv/dist/standalone/index.js'
import { schemaKey } from './aheadOfTime.js'
import type { CheckOptions } from './check.js'
import { createAjv } from './createAjv.js'

export interface KnownSchema {
  schema: TSchema
  options?: CheckOptions | undefined
}

/**
 * The source of a module for each way of checking, whose exports are the validators of the schemas by `schemaKey`: for
 * programs on machines where ajv itself, which is half of what such a program weighs in memory, has nothing else to do.
 * Its imports resolve from this package.
 */
export function printValidators(schemas: readonly KnownSchema[]): { strict: string; coercing: string } {
  const print = (coerce: boolean) => {
    const ajv = createAjv({ coerce, asSource: true })
    const own = schemas.filter(({ options }) => (options?.coerce ?? false) === coerce)
    const keys = new Set<string>()
    for (const { schema, options } of own) {
      const key = schemaKey(schema, options)
      if (!keys.has(key)) ajv.addSchema(schema, key)
      keys.add(key)
    }
    return standalone.default(ajv, Object.fromEntries([...keys].map((key) => [key, key])))
  }
  return { strict: print(false), coercing: print(true) }
}
