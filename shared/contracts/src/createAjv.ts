import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/** `asSource` keeps what a validator is made of, so that it can be printed as code. */
export function createAjv({ coerce, asSource = false }: { coerce: boolean; asSource?: boolean }): Ajv2020 {
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictTuples: false,
    allErrors: false,
    useDefaults: true,
    removeAdditional: false,
    coerceTypes: coerce ? 'array' : false,
    ...(asSource ? { code: { source: true, esm: true } } : {})
  })
  addFormats.default(ajv)
  return ajv
}
