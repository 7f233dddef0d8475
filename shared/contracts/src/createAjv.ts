import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/**
 * `asSource` keeps what a validator is made of, so that it can be printed as code. Schemas are not checked against the
 * schema of schemas: TypeBox writes all of ours, strict mode still refuses words that it does not know, and compiling that
 * schema would take longer than a process needs for the rest of its settings.
 */
export function createAjv({ coerce, asSource = false }: { coerce: boolean; asSource?: boolean }): Ajv2020 {
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictTuples: false,
    allErrors: false,
    useDefaults: true,
    removeAdditional: false,
    meta: false,
    validateSchema: false,
    coerceTypes: coerce ? 'array' : false,
    ...(asSource ? { code: { source: true, esm: true } } : {})
  })
  addFormats.default(ajv)
  return ajv
}
