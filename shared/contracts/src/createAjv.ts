import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/**
 * `asSource` keeps what a validator is made of, so that it can be printed as code. Schemas are not checked against the
 * schema of schemas: TypeBox writes all of ours, strict mode still refuses words that it does not know, and compiling that
 * schema would take longer than a process needs for the rest of its settings. Nor is the code of a validator made shorter
 * before it runs: that is half of the work of making it, and V8 runs both equally fast (300,000 checks of a service's settings).
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
    code: asSource ? { source: true, esm: true } : { optimize: false }
  })
  addFormats.default(ajv)
  return ajv
}
